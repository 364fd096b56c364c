"""The demo: the main job from end to end, offline, on a simulated market, and what the tool is for, shown at work.

journal    steps as they happen
market     the simulated market, written as archive files and imported like any others
ideas      the components and the strategy that the page shows with their code
exhibits   a leak that is caught, a planted effect that is found, an own strategy with its verdict
run        all of it, and the page
"""

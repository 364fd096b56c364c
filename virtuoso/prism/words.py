"""How scores and reliability are called: the one place where words and colours change, for every surface."""

from __future__ import annotations

from typing import Literal, get_args

GLOSSARY = "docs/guides/glossary.md"
CONFLUENCE_NOTE = (
    "Confluence: the composite score of the faces (groups of components), 0 most bearish, 100 most bullish."
)
COVERAGE_NOTE = "Coverage: the share of the weight that is known."
"""Virtuoso's own words, explained where they first appear; the glossary explains all of them."""
BULLISH_FROM, BEARISH_TO = 55.0, 45.0
"""Scores from which on, and up to which, something is called and coloured bullish or bearish; between is neutral."""
STRONGLY = 15.0
"""Points beyond these from which on it is called strongly so."""
RegimeName = Literal["calm range", "volatile range", "calm trend", "volatile trend"]
REGIMES: tuple[RegimeName, ...] = get_args(RegimeName)
"""What a market is like, by code: trending x 2 + volatile (features/regime.py)."""
RANKS = ((2.0 / 3.0, "high"), (1.0 / 3.0, "medium"), (0.0, "low"))
"""Reliability from which on it is called so while nothing was learned of how often such signals were right."""


def lean(score: float) -> str:
    """Say which way a score leans: bullish, bearish, neutral, or unknown.

    It is decided on one decimal, as scores are shown: what reads 55.0 is bullish.

    Examples
    --------
    >>> lean(55.0), lean(54.9), lean(45.0), lean(float("nan"))
    ('bullish', 'neutral', 'bearish', 'unknown')
    """
    if score != score:
        return "unknown"
    shown = round(score, 1)
    return "bullish" if shown >= BULLISH_FROM else "bearish" if shown <= BEARISH_TO else "neutral"


def lean_words(score: float) -> str:
    """Say which way a score leans, and whether strongly: `strongly bullish` from 70 on, `neutral` between 45 and 55."""
    words, shown = lean(score), round(score, 1) if score == score else score
    strong = shown >= BULLISH_FROM + STRONGLY or shown <= BEARISH_TO - STRONGLY
    return f"strongly {words}" if strong else words


def reliability_rank(reliability: float, basis: str = "heuristic") -> str:
    """Write a reliability for people: a percentage where it is calibrated, else a rank that cannot be taken for one.

    Parameters
    ----------
    reliability : float, 0..1
    basis : str
        'calibrated' where it is a probability, 'heuristic' otherwise.

    Examples
    --------
    >>> reliability_rank(0.56), reliability_rank(0.56, "calibrated"), reliability_rank(float("nan"))
    ('medium', '56 %', 'not known')
    """
    if reliability != reliability:
        return "not known"
    if basis == "calibrated":
        return f"{100.0 * reliability:.0f} %"
    return next(word for least, word in RANKS if reliability >= least)


def reliability_words(reliability: float, basis: str = "heuristic", why: str = "") -> str:
    """Write a reliability with what it rests on: `medium (uncalibrated)`, `56 % (calibrated)`.

    Parameters
    ----------
    reliability : float, 0..1
    basis : str
        As `reliability_rank` takes it.
    why : str
        Why a calibration that is set does not apply.
    """
    rank = reliability_rank(reliability, basis)
    if reliability != reliability:
        return rank
    because = f": {why}" if why else ""
    return f"{rank} (calibrated)" if basis == "calibrated" else f"{rank} (uncalibrated{because})"

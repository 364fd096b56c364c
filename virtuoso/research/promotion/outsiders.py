"""Symbols that a study never saw, and whether its winner agrees in sign there.

They are taken from the lake: of the study's venues and on its clock, with enough days of the study's stretch, by name.
The winner trades each of them alone, on the study's terms; what is sealed is not read. Nothing is chosen among them, so
that none of it counts as a try.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.account.symbols import symbol_of
from virtuoso.errors import VirtuosoError
from virtuoso.lake.lake import Lake
from virtuoso.research.tuning.evaluate import Evaluator
from virtuoso.research.tuning.parts import loaded_of, whole_days
from virtuoso.types import Array

MOST = 5
"""Symbols that are asked, at most."""
LEAST_SHARE = 0.25
"""Share of the study's days that one must know, and LEAST_DAYS at least."""
LEAST_DAYS = 30

log = logging.getLogger(__name__)


def outsiders(evaluator: Evaluator, winner: Array, home: Lake) -> dict[str, float]:
    """Trade the winner of a study on symbols that it does not name.

    Parameters
    ----------
    evaluator : Evaluator
        Of the study.
    winner : Array, shape (n_names,)
        Its point.
    home : Lake

    Returns
    -------
    dict of str to float
        Sum of net daily returns by symbol; empty where there is no other symbol.
    """
    found: dict[str, float] = {}
    for one in _others(evaluator, home):
        if len(found) == MOST:
            break
        try:
            net = _net(evaluator, winner, one, home)
        except VirtuosoError as refused:  # too short, sealed, without funding: it says nothing about the winner
            log.info("not asked", extra={"instrument": str(one), "why": str(refused)})
            continue
        if net == net:
            found[one.symbol] = net
    return found


def _others(evaluator: Evaluator, home: Lake) -> Iterator[Instrument]:
    """Instruments of the study's venues whose symbols it does not name; simulated ones beside simulated ones only."""
    own = [place.instrument for place in evaluator.places]
    named, venues = {symbol_of(one.symbol) for one in own}, {one.venue for one in own}
    for one in sorted(home.instruments()):
        if one.venue in venues and symbol_of(one.symbol) not in named:
            yield one


def _net(evaluator: Evaluator, winner: Array, one: Instrument, home: Lake) -> float:
    stretches = [stretch for of in evaluator.stretches.values() for stretch in of.values()]
    first, stop = min(start for start, _ in stretches), max(end for _, end in stretches)
    frame = whole_days(home.frame(one.symbol, evaluator.timeframe, first, stop, one.venue))
    study = evaluator.study.changed(scenarios={}, market={
        "symbols": [one.symbol], "venue": one.venue, "timeframe": evaluator.timeframe.name,
    })  # fmt: skip
    name = next(iter(study.markets))
    beside = Evaluator.on(study, evaluator.settings, [loaded_of(study, evaluator.settings, name, frame, home)])
    wanted = max(LEAST_DAYS, LEAST_SHARE * max(evaluator.days.values()))
    if max(beside.days.values()) < wanted:
        return float("nan")
    told = dict(zip(evaluator.space.names, winner.tolist(), strict=True))
    space = beside.space
    point = np.array([told.get(name, space.prior[k]) for k, name in enumerate(space.names)])
    (returns,) = beside.evaluate(point[None], beside.rounds[-1]).returns
    daily = returns.daily[:, 0]
    return float(np.nansum(daily)) if returns.traded[:, 0].sum() else float("nan")

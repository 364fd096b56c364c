"""The best that was found on the real set passes a naive interval, and is refused."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research.promotion.cross_section import BARS_A_DAY, SINCE, Panel, panel, traded
from tests.research.promotion.studies import asked
from virtuoso.account.metrics import DAY_MS
from virtuoso.research.promotion.baselines import held, past_return
from virtuoso.research.promotion.evidence import EQUAL, HOLD, PAST, UNTUNED, Evidence
from virtuoso.research.promotion.gate import judge
from virtuoso.research.tracking.experiments import TrialCount
from virtuoso.research.validation.overfitting import Moments, psr
from virtuoso.research.validation.robustness import annual_sharpe
from virtuoso.research.validation.verdict import Decision

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
TRIED_HERE, TRIED = 188, 923
"""Walk-forward configurations that were tried on this set, and on all (the reference that the gate goes back to)."""
A_DAY = BARS_A_DAY


@pytest.fixture(scope="module")
def coins(real_data, tmp_path_factory) -> Panel:
    return panel(real_data, tmp_path_factory.mktemp("known") / "data")


@pytest.fixture(scope="module")
def evidence(coins) -> Evidence:
    """The study as it would have been handed in; what a backtest would answer is answered kindly."""
    gross, costs, turned = traded(coins, A_DAY, 1.0)
    several = [(A_DAY, 0.3), (A_DAY, 1.0), (A_DAY, 3.0), (A_DAY, 10.0), (1, 3.0), (1, 10.0), (3 * A_DAY, 1.0)]
    search = [own - cost for own, cost, _ in (traded(coins, bars, penalty) for bars, penalty in several)]
    equal, cost, _ = traded(coins, A_DAY, None)
    daily = coins.closes[coins.begin - 1 :: A_DAY][: coins.days + 1]
    years = np.repeat(np.arange(4), [365, 365, 365, 366])[: coins.days]
    walk = gross - costs
    ratios = np.array([annual_sharpe(walk[years == year]) for year in range(4)])
    return Evidence(
        study="cross-section", tried=TrialCount.of_search(np.column_stack(search)),
        days=SINCE + DAY_MS * np.arange(coins.days), walk=walk, trades=5_000, rounds=years, inside=ratios,
        outside=ratios, gross=gross, costs=costs, turnover=turned, hold=1.0,
        rivals={EQUAL: equal - cost, UNTUNED: equal - cost, HOLD: held(daily)[1:],
                PAST: np.nan_to_num(past_return(daily, 1.0, 7e-4)[1:])},
        search=np.column_stack(search), asked=asked(walk), outsiders={"OUTSIDE": 0.1},
    )  # fmt: skip


def tried(evidence: Evidence, count: int) -> Evidence:
    return replace(evidence, tried=replace(evidence.tried, configurations=count, effective=float(count)))


def answer(evidence: Evidence, name: str):
    return next(gate for gate in judge(evidence).gates if gate.name == name)


def test_it_passes_a_naive_interval(evidence):
    record = Moments.of(evidence.walk)
    assert annual_sharpe(evidence.walk) > 1.0
    assert psr(record) > 0.975  # the lower end of its 95 % interval is above 0
    assert evidence.gross.sum() / evidence.turnover.sum() > 2.0 * 7e-4


@pytest.mark.parametrize("count", [TRIED_HERE, TRIED])
def test_it_is_refused_after_what_was_tried(evidence, count):
    verdict = judge(tried(evidence, count))
    assert verdict.decision is not Decision.SHIP
    assert answer(tried(evidence, count), "deflated").passed is False


def test_it_is_refused_were_it_the_only_try(evidence):
    """Holding the coins did as well, and what wins in sample among its like loses out of sample."""
    verdict = judge(tried(evidence, 1))
    failed = {gate.name for gate in verdict.gates if gate.passed is False}
    assert verdict.decision is not Decision.SHIP
    assert failed >= {"better than buy and hold", "overfitting"}

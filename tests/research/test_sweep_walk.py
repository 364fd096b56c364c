"""Walking: bars on which nothing can happen are left out, and equity is as if none had been."""

import numpy as np
import pytest
from numba import njit

from virtuoso.research.sweep.skip import (
    DEEPEST,
    HALTED_AT,
    LEAST,
    PEAK,
    RECORD_COLUMNS,
    TOP,
    advance,
    mark,
    summarised,
)


@njit
def advanced(summaries, t, stop, below, above, mark_below, mark_above):
    return advance(summaries, t, stop, below, above, mark_below, mark_above)


@njit
def marked(summaries, a, b, least, most, wallet, size, entry, limit, reset, record, daily):
    mark(summaries, a, b, least, most, wallet, size, entry, limit, reset, record, daily)


class TestWalking:
    """Summaries of 8 and 64 bars leave out what does not matter, and nothing else."""

    def test_the_next_event_is_that_of_a_loop_over_bars(self):
        random = np.random.default_rng(2)
        price = 100.0 + np.cumsum(random.normal(0.0, 0.1, 1_500))
        reach = np.column_stack((price - 0.1, price + 0.1, price - 0.2, price + 0.2))
        reach[random.choice(1_500, 90)] = [np.inf, -np.inf, np.inf, -np.inf]
        summaries = summarised(reach, price, price, np.empty(0, np.int64))
        for _ in range(300):
            t, wide = int(random.integers(0, 1_400)), random.exponential(2.0, 4)
            stop = int(random.integers(t, 1_500))
            edges = price[t] + wide * np.array([-1.0, 1.0, -1.2, 1.2])
            inside = (reach[t:stop, [0, 2]] > edges[[0, 2]]) & (reach[t:stop, [1, 3]] < edges[[1, 3]])
            hits = np.flatnonzero(~inside.all(axis=1))
            event = t + hits[0] if len(hits) else stop
            passed = price[t:event]
            assert advanced(summaries, t, stop, *edges) == (
                event,
                passed.min(initial=np.inf),
                passed.max(initial=-np.inf),
            )

    @pytest.mark.parametrize("size", [-40.0, 0.0, 40.0])
    def test_equity_is_marked_as_bar_by_bar(self, size):
        random = np.random.default_rng(4)
        for _ in range(60):
            price = 100.0 + np.cumsum(random.normal(0.0, 0.3, 400))
            price[random.choice(400, 30)] = np.nan
            price[0] = 100.0
            summaries = summarised(np.zeros((400, 4)), price, price, np.array([99, 199, 299, 399]))
            close = summaries.bars[:, LEAST]
            a, b = sorted(random.choice(401, 2, replace=False).tolist())
            record, daily = np.zeros(RECORD_COLUMNS), np.zeros(4)
            record[TOP] = record[PEAK] = 10_050.0
            record[HALTED_AT] = -1.0
            ends = close[a:b].min(), close[a:b].max()
            marked(summaries, a, b, *ends, 10_000.0, size, 100.0, 0.02, 50, record, daily)
            top = peak = 10_050.0
            deepest, halted = 0.0, -1
            for t in range(a, b):
                equity = 10_000.0 + size * (close[t] - 100.0)
                top, peak = max(top, equity), max(peak, equity)
                deepest = min(deepest, equity / top - 1.0)
                if halted >= 0 and t - halted >= 50:
                    halted, peak = -1, equity
                if halted < 0 and equity <= 0.98 * peak:
                    halted = t
            assert (record[TOP], record[DEEPEST], record[HALTED_AT]) == (top, deepest, halted)
            for day, last in enumerate((99, 199, 299, 399)):
                if a <= last < b:
                    assert daily[day] == 10_000.0 + size * (close[last] - 100.0)

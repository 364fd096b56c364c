"""The border: every row is judged before anything is stored."""

from collections import Counter

import numpy as np
import pytest

from tests.archives import JANUARY, MINUTE, NOW, bars, flat_bars, minutes, reject_bad_file
from virtuoso.clock import Timeframe
from virtuoso.errors import UnreadableFileError
from virtuoso.ingest.validate_bars import RULES, inspect, opens_from_closes
from virtuoso.ingest.validated import RejectedRow, Validated
from virtuoso.market.rows import empty_rows, traded_rows

M1 = Timeframe("1m")


def judged(times, columns, now_ms=NOW, timeframe=M1, **masks):
    return inspect(np.asarray(times, dtype=np.int64), columns, timeframe, now_ms, **masks)


def spoilt(n: int = 20, row: int = 7, **values):
    """Good bars with some values of one row replaced."""
    made = bars(n)
    for name, value in values.items():
        made[name][row] = value
    return made


class TestAGoodBatch:
    """What is right passes unchanged."""

    def test_keeps_every_bit(self):
        made = bars(500)
        found = judged(minutes(500), made)
        assert (found.rows.open_time == minutes(500)).all()
        assert all((found.rows.columns[name] == values).all() for name, values in made.items())
        assert (Counter(found.reasons), found.forming, found.duplicates, found.disordered) == ({}, 0, 0, False)

    def test_counts_from_the_close_of_each_bar(self):
        found = judged(minutes(3), bars(3))
        assert (found.rows.available_at == minutes(3) + MINUTE).all()

    def test_may_leave_further_columns_unsaid(self):
        found = judged(minutes(20), spoilt(trades=np.nan, taker_buy_volume=np.nan))
        assert not Counter(found.reasons)
        assert np.isnan(found.rows.columns["trades"][7])

    def test_may_be_empty(self):
        assert len(judged([], flat_bars([])).rows) == 0


class TestABadRow:
    """Is refused with the first rule it breaks; its neighbours are kept."""

    @pytest.mark.parametrize(
        ("values", "rule"),
        [
            ({"close": np.nan}, "not_finite"),
            ({"volume": np.inf}, "not_finite"),
            ({"quote_volume": np.inf}, "not_finite"),
            ({"low": 0.0}, "price_not_positive"),
            ({"open": -5.0}, "price_not_positive"),
            ({"high": 80.0, "low": 120.0}, "high_below_low"),
            ({"close": 200.0}, "outside_range"),
            ({"open": 60.0}, "outside_range"),
            ({"volume": -1.0}, "negative_volume"),
            ({"trades": -1.0}, "negative_volume"),
            ({"taker_buy_volume": 1e9}, "taker_above_volume"),
            ({"taker_buy_quote_volume": 1e12}, "taker_above_volume"),
        ],
    )
    def test_in_its_values(self, values, rule):
        found = judged(minutes(20), spoilt(**values))
        assert Counter(found.reasons) == {rule: 1}
        assert found.bad.tolist() == [7]
        assert found.rows.open_time.tolist() == np.delete(minutes(20), 7).tolist()

    @pytest.mark.parametrize(
        ("time", "rule"),
        [
            (JANUARY // 1_000, "time_out_of_range"),
            (JANUARY * 1_000, "time_out_of_range"),
            (1_230_767_940_000, "time_out_of_range"),
            (NOW + 3 * MINUTE, "time_out_of_range"),
            (JANUARY + 500, "off_grid"),
        ],
        ids=["seconds", "microseconds", "2008", "future", "off the grid"],
    )
    def test_in_its_time(self, time, rule):
        times = minutes(20)
        times[7] = time
        assert Counter(judged(times, bars(20)).reasons) == {rule: 1}

    @pytest.mark.parametrize(
        ("mask", "rule"), [("no_time", "time_unreadable"), ("garbled", "not_a_number"), ("off_grid", "off_grid")]
    )
    def test_that_could_not_be_read(self, mask, rule):
        marked = np.arange(20) == 7
        assert Counter(judged(minutes(20), bars(20), **{mask: marked}).reasons) == {rule: 1}

    def test_has_a_rule_in_words(self):
        assert all(words and words[0].islower() for words in RULES.values())


class TestABarThatIsStillForming:
    """Has not closed, and is left out without being anybody's fault."""

    def test_is_dropped(self):
        found = judged(minutes(5), bars(5), now_ms=JANUARY + 4 * MINUTE + 30_000)
        assert found.forming == 1
        assert len(found.rows) == 4
        assert not Counter(found.reasons)

    def test_is_kept_from_the_millisecond_of_its_close_on(self):
        assert judged(minutes(5), bars(5), now_ms=JANUARY + 5 * MINUTE).forming == 0
        assert judged(minutes(5), bars(5), now_ms=JANUARY + 5 * MINUTE - 1).forming == 1


class TestTheSameBarTwice:
    """Is stored once; of different values the last in the file is kept and the earlier ones are remembered."""

    def test_with_equal_values_is_counted(self):
        made = {name: np.append(values, values[3]) for name, values in bars(10).items()}
        found = judged(np.append(minutes(10), minutes(10)[3]), made)
        assert (found.duplicates, len(found.rows), len(found.superseded)) == (1, 10, 0)

    def test_with_other_values_keeps_the_last(self):
        made = flat_bars([100, 101, 102, 101.5])
        found = judged([*minutes(3).tolist(), JANUARY + MINUTE], made)
        assert found.rows.columns["close"].tolist() == [100, 101.5, 102]
        assert found.superseded.columns["close"].tolist() == [101]
        assert found.superseded.open_time.tolist() == [JANUARY + MINUTE]

    def test_keeps_the_good_one_if_the_last_is_bad(self):
        made = flat_bars([100, 101, 102, 103, 104, -1.0])
        found = judged([*minutes(5).tolist(), JANUARY + 2 * MINUTE], made)
        assert found.rows.columns["close"].tolist() == [100, 101, 102, 103, 104]
        assert Counter(found.reasons) == {"price_not_positive": 1}


class TestRowsOutOfOrder:
    """Are sorted; the newest first is how some exchanges answer."""

    def test_are_put_in_order(self):
        made = bars(100)
        found = judged(minutes(100)[::-1], {name: values[::-1] for name, values in made.items()})
        assert found.disordered
        assert (found.rows.open_time == minutes(100)).all()
        assert (found.rows.columns["close"] == made["close"]).all()


class TestAPriceFarOff:
    """May be true, so it is kept as published: a bar is refused for what it is, never for the bars around it."""

    @pytest.mark.parametrize("price", [1e12, 5_100.0, 1.9, 1e-9])
    @pytest.mark.parametrize("row", [0, 1, 3, 5, 6])
    def test_is_kept(self, price, row):
        closes = [100.0] * 7
        closes[row] = price
        found = judged(minutes(7), flat_bars(closes))
        assert found.rows.columns["close"].tolist() == closes
        assert len(found.bad) == 0

    @pytest.mark.parametrize("wick", [{"high": 1e12}, {"low": 1e-9}])
    def test_in_a_wick_takes_nothing_of_its_bar(self, wick):
        found = judged(minutes(20), spoilt(**wick))
        assert len(found.rows) == 20
        ((name, price),) = wick.items()
        assert found.rows.columns[name][7] == price

    def test_is_a_crash_to_a_sixty_thousandth(self):
        closes = [100.0, 100, 100, 31, 17.5, 1.07, 0.0054, 0.0017, 0.0017]
        assert judged(minutes(9), flat_bars(closes)).rows.columns["close"].tolist() == closes


class TestBarsStampedAtTheirClose:
    """Open one bar before their close, however the close is written."""

    @pytest.mark.parametrize("early", [0, 1, 1_000], ids=["next open", "last millisecond", "last second"])
    @pytest.mark.parametrize("name", ["1m", "4h", "1d"])
    def test_open_one_bar_earlier(self, early, name):
        clock = Timeframe(name)
        opens, off = opens_from_closes(minutes(5, step=clock.ms) + clock.ms - early, clock)
        assert (opens == minutes(5, step=clock.ms)).all()
        assert not off.any()

    def test_elsewhere_are_off_the_grid(self):
        assert opens_from_closes(minutes(1) + 30_000, M1)[1].all()


def batch(rule: str, bad: int, good: int) -> list[Validated]:
    """A file with so many bad and good rows."""
    rows = traded_rows(minutes(good), flat_bars([1.0] * good), MINUTE)
    rejected = tuple(RejectedRow(5 + i, rule, "", None) for i in range(bad))
    return [Validated(rows, empty_rows(), 0, 0, rejected, disordered=False)]


class TestABatchWithTooManyBadRows:
    """Is refused whole: the file is not what it claims to be."""

    def test_above_a_thousandth_fails(self):
        found = r"12 of 10,000 rows are bad \(12 x the high is below the low\), first in row 5: the high is below"
        with pytest.raises(UnreadableFileError, match=found):
            reject_bad_file(batch("high_below_low", 12, 9_988), RULES, 0.001)

    def test_up_to_a_thousandth_passes(self):
        reject_bad_file(batch("high_below_low", 10, 9_990), RULES, 0.001)

    def test_a_few_bad_rows_do_not_fail_a_small_file(self):
        reject_bad_file(batch("high_below_low", 3, 97), RULES, 0.001)
        with pytest.raises(UnreadableFileError):
            reject_bad_file(batch("high_below_low", 4, 96), RULES, 0.001)

    def test_passes_if_the_user_says_so(self):
        reject_bad_file(batch("high_below_low", 40, 60), RULES, 0.5)

    def test_without_one_good_row_fails_in_any_case(self):
        with pytest.raises(UnreadableFileError, match=r"Nothing was stored. Not one is good: is it the right file"):
            reject_bad_file(batch("not_finite", 2, 0), RULES, 1.0)

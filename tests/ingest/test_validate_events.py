"""The border of everything that is not a bar: every event is judged before anything is stored."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.archives import reject_bad_file
from virtuoso.errors import UnreadableFileError
from virtuoso.ingest.event_rules import RULES
from virtuoso.ingest.validate_events import validate_events
from virtuoso.ingest.validated import Validated
from virtuoso.market.events import Events
from virtuoso.market.schema.kinds import KINDS, NO_ID
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.raw_events import RawEvents

JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
NOW = 1_735_689_600_000  # 2025-01-01T00:00Z
MINUTE, HOUR = 60_000, 3_600_000
GOOD = {
    "trades": {"id": 1, "price": 100.0, "size": 2.0, "side": 1, "count": 1.0},
    "depth": {
        "first_id": 1, "last_id": 2, "prev_id": NO_ID, "snapshot": 0, "side": 1, "price": 100.0, "size": 2.0,
    },
    "ticker": {"id": 1, "bid": 99.0, "bid_size": 1.0, "ask": 101.0, "ask_size": 1.0},
    "bands": {"percentage": -1.0, "depth": 5.0, "notional": 500.0},
    "open_interest": {"open_interest": 1_000.0, "open_interest_value": 100_000.0},
    "ratios": {"accounts_ratio": 1.5, "top_accounts_ratio": 1.2, "top_positions_ratio": 0.9, "taker_ratio": 1.1},
    "funding": {"rate": 0.0001, "hours": 8.0, "mark": 100.0},
    "prices": {"mark": 100.0, "index": 100.5},
    "liquidations": {"side": -1, "price": 100.0, "size": 2.0},
    "instruments": {
        "price_step": 0.1, "size_step": 0.001, "min_size": 0.001, "min_notional": 5.0, "maker_fee": -0.0001,
        "taker_fee": 0.0005,
    },
    "tiers": {"floor": 0.0, "rate": 0.004, "leverage": 125.0},
}  # fmt: skip


def raw(kind: str, *events: dict, times=None, received=None, step: int = 5 * MINUTE, **options) -> RawEvents:
    """Good events of a kind, each with some values of its own."""
    n = len(events)
    columns = {
        name: np.array([event.get(name, GOOD[kind][name]) for event in events], dtype=dtype)
        for name, dtype in KINDS[kind].columns.items()
    }
    moments = JANUARY + step * np.arange(n) if times is None else np.array(times)
    at = None if received is None else np.array(received, dtype=np.int64)
    return RawEvents(
        Path("a.csv"), "0" * 64, kind, "BTCUSDT", np.arange(2, n + 2), moments.astype(np.int64), columns, at, **options
    )


def judged(kind: str, *events: dict, **options) -> Validated[Events]:
    return validate_events(raw(kind, *events, **options), NOW)


class TestGoodEvents:
    """What is right passes unchanged, known when it was received, else when its kind says."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_pass(self, kind):
        found = judged(kind, {}, {})
        assert found.rejected == ()
        assert len(found.accepted) == 2
        assert (found.accepted.available_at == found.accepted.event_time + KINDS[kind].lag_ms).all()
        for name, value in GOOD[kind].items():
            assert found.accepted[name].tolist() == [value, value]
            assert found.accepted[name].dtype == KINDS[kind].columns[name]

    def test_keep_the_moment_at_which_they_were_received(self):
        found = judged("trades", {}, {"id": 2}, received=[JANUARY + 7, JANUARY + 5 * MINUTE + 3])
        assert found.accepted.available_at.tolist() == [JANUARY + 7, JANUARY + 5 * MINUTE + 3]

    def test_out_of_order_are_put_in_order_of_arrival(self):
        found = judged("open_interest", {}, {}, {}, times=[JANUARY + 2, JANUARY, JANUARY + 1])
        assert found.disordered
        assert (np.diff(found.accepted.available_at) > 0).all()

    def test_off_the_grid_keep_their_time(self):
        found = judged("open_interest", {}, {}, times=[JANUARY, JANUARY + 5 * MINUTE + 2_000])
        assert found.accepted.event_time.tolist() == [JANUARY, JANUARY + 5 * MINUTE + 2_000]

    def test_may_be_none(self):
        found = judged("ratios")
        assert (len(found.accepted), found.rejected, found.duplicates) == (0, (), 0)


class TestABadEvent:
    """Is refused with the first rule it breaks; its neighbours are kept."""

    @pytest.mark.parametrize(
        ("kind", "values", "rule"),
        [
            ("trades", {"price": np.nan}, "not_finite"),
            ("trades", {"price": 0.0}, "price_not_positive"),
            ("trades", {"size": 0.0}, "size_not_positive"),
            ("trades", {"size": np.inf}, "not_finite"),
            ("trades", {"side": 2}, "side_unknown"),
            ("depth", {"size": -1.0}, "negative"),
            ("depth", {"size": np.nan}, "not_finite"),
            ("depth", {"price": 0.0}, "price_not_positive"),
            ("depth", {"last_id": -5}, "negative"),
            ("ticker", {"bid": np.nan}, "not_finite"),
            ("ticker", {"ask_size": -1.0}, "negative"),
            ("bands", {"depth": np.nan}, "not_finite"),
            ("bands", {"notional": -1.0}, "negative"),
            ("open_interest", {"open_interest": -1.0}, "negative"),
            ("open_interest", {"open_interest": np.inf}, "not_finite"),
            ("funding", {"rate": np.nan}, "not_finite"),
            ("funding", {"rate": -1.01}, "impossible_rate"),
            ("funding", {"hours": 0.0}, "impossible_hours"),
            ("funding", {"hours": 48.0}, "impossible_hours"),
            ("prices", {"mark": -1.0}, "price_not_positive"),
            ("prices", {"index": np.inf}, "not_finite"),
            ("liquidations", {"size": 0.0}, "size_not_positive"),
            ("instruments", {"price_step": -0.1}, "negative"),
            ("tiers", {"floor": -1.0}, "negative"),
            ("tiers", {"rate": float("nan")}, "not_finite"),
            ("tiers", {"rate": 2.5}, "impossible_rate"),
        ],
    )
    def test_in_its_values(self, kind, values, rule):
        found = judged(kind, {}, values, {})
        assert found.counts == {rule: 1}
        assert len(found.accepted) == 2

    @pytest.mark.parametrize(
        ("time", "rule"),
        [
            (NO_TIME, "time_unreadable"),
            (JANUARY // 1_000, "time_out_of_range"),
            (JANUARY * 1_000, "time_out_of_range"),
            (NOW + 2 * MINUTE, "time_out_of_range"),
        ],
        ids=["none", "seconds", "microseconds", "future"],
    )
    def test_in_its_time(self, time, rule):
        assert judged("ratios", {}, {}, times=[JANUARY, time]).counts == {rule: 1}

    def test_in_the_time_of_its_receipt(self):
        found = judged("trades", {}, {"id": 2}, received=[JANUARY, JANUARY // 1_000])
        assert found.counts == {"time_out_of_range": 1}

    def test_goes_to_quarantine_with_its_row_reason_and_values(self):
        (refused,) = judged("open_interest", {}, {"open_interest": -1.0, "open_interest_value": np.nan}).rejected
        assert (refused.number, refused.reason, refused.time) == (3, "negative", JANUARY + 5 * MINUTE)
        assert json.loads(refused.text) == {
            "event_time": JANUARY + 5 * MINUTE, "open_interest": -1.0, "open_interest_value": None,
        }  # fmt: skip

    def test_that_could_not_be_read_at_all_stays_with_the_others(self):
        found = judged("trades", {"price": -1.0}, {}, rejected=((7, "broken_line", "1,2"), (1, "not_a_number", "x")))
        assert [(event.number, event.reason) for event in found.rejected] == [
            (1, "not_a_number"), (2, "price_not_positive"), (7, "broken_line"),
        ]  # fmt: skip

    def test_has_a_rule_in_words(self):
        assert all(words and words[0].islower() for words in RULES.values())


class TestAMessageWithoutALevel:
    """A change of the book may hold no level: neither price nor size are judged."""

    def test_passes(self):
        assert not judged("depth", {"side": 0, "price": np.nan, "size": np.nan}).counts


class TestWhatIsNotKnown:
    """Is NaN; an event in which nothing is known is left out without being anybody's fault."""

    @pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
    def test_of_a_ratio_is_nan_and_the_others_are_kept(self, value):
        found = judged("ratios", {"taker_ratio": value})
        assert np.isnan(found.accepted["taker_ratio"]).all()
        assert found.accepted["accounts_ratio"].tolist() == [1.5]
        assert not found.counts

    def test_of_a_price_is_nan_where_the_venue_writes_zero(self):
        assert np.isnan(judged("prices", {"index": 0.0}).accepted["index"]).all()

    def test_throughout_is_left_out_and_counted(self):
        found = judged("ratios", {}, dict.fromkeys(GOOD["ratios"], np.nan), {})
        assert (len(found.accepted), found.left_out, found.counts) == (2, 1, {})
        assert "1 row in which nothing is known, left out" in found.notes


class TestAnOutage:
    """Open interest of zero or none never was: it is refused, and does not speak against its file."""

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_is_refused_with_its_own_reason(self, value):
        found = judged("open_interest", {}, {"open_interest": value, "open_interest_value": value}, {})
        assert found.counts == {"outage": 1}
        assert any("outage" in note for note in found.notes)

    def test_of_half_a_day_does_not_fail_the_file(self):
        events = [{}] * 100 + [{"open_interest": 0.0}] * 90
        found = judged("open_interest", *events)
        assert found.counts == {"outage": 90}
        reject_bad_file([found], RULES)

    def test_is_none_if_the_notional_is_known(self):
        found = judged("open_interest", {"open_interest": np.nan})
        assert (len(found.accepted), found.counts) == (1, {})


class TestAValueFarOff:
    """May be true, so it is kept as published; what is made of it is the affair of the columns (belief.py)."""

    @pytest.mark.parametrize("values", [(100, 101, 5e6, 103), (100, 0.05, 101), (1e6, 100, 101), (100, 101, 1e6)])
    def test_of_open_interest_is_kept(self, values):
        found = judged("open_interest", *({"open_interest": float(value)} for value in values))
        assert found.accepted["open_interest"].tolist() == list(values)
        assert not found.counts

    @pytest.mark.parametrize("values", [(100, 101, 1e12, 102), (100, 101, 1.0, 102), (317, 0.1, 0.1, 0.1, 315)])
    def test_of_a_trade_is_kept(self, values):
        found = judged("trades", *({"id": k, "price": float(value)} for k, value in enumerate(values)), step=100)
        assert found.accepted["price"].tolist() == list(values)
        assert not found.counts

    @pytest.mark.parametrize("bid", [101.0, 102.0])
    def test_of_a_crossed_or_locked_quote_is_kept(self, bid):
        found = judged("ticker", {"bid": bid})
        assert (len(found.accepted), found.counts) == (1, {})


class TestTheSameEventTwice:
    """Is stored once; what a further row tells besides is another version for the lake."""

    def test_with_equal_values_is_counted(self):
        found = judged("ratios", {}, {}, {}, times=[JANUARY, JANUARY, JANUARY + 1])
        assert (len(found.accepted), found.duplicates, len(found.superseded)) == (2, 1, 0)

    def test_with_other_values_is_another_version(self):
        found = judged("open_interest", {}, {"open_interest": 1_001.0}, times=[JANUARY, JANUARY])
        assert found.accepted["open_interest"].tolist() == [1_000]
        assert found.superseded["open_interest"].tolist() == [1_001]
        assert found.duplicates == 0

    def test_that_knows_something_else_is_another_version(self):
        """Answers of two endpoints about one moment; the lake joins them."""
        found = judged("prices", {"index": np.nan}, {"mark": np.nan}, {}, times=[JANUARY] * 3)
        assert (found.accepted["mark"].tolist(), found.superseded["index"].tolist()) == ([100], [100.5, 100.5])
        assert found.duplicates == 0

    def test_that_knows_less_than_one_before_is_a_repetition(self):
        found = judged("prices", {}, {"mark": np.nan}, {"index": 7.0}, {"index": np.nan}, times=[JANUARY] * 4)
        assert (len(found.accepted), found.superseded["index"].tolist(), found.duplicates) == (1, [7.0], 2)

    def test_is_told_by_the_key_of_its_kind(self):
        assert len(judged("trades", {}, {"id": 2}, times=[JANUARY] * 2).accepted) == 2
        assert len(judged("trades", {}, {}, times=[JANUARY] * 2).accepted) == 1
        assert len(judged("liquidations", {}, {"size": 3.0}, {}, times=[JANUARY] * 3).accepted) == 2
        assert len(judged("bands", {}, {"percentage": 1.0}, times=[JANUARY] * 2).accepted) == 2

    def test_of_two_recorders_is_known_from_the_earlier_on(self):
        found = judged("trades", {}, {}, times=[JANUARY] * 2, received=[JANUARY + 50, JANUARY + 20])
        assert found.accepted.available_at.tolist() == [JANUARY + 20]

    def test_may_come_many_times(self):
        found = judged("liquidations", *[{}] * 1_000, {"price": 99.0}, times=[JANUARY] * 1_001)
        assert (len(found.accepted), found.duplicates) == (2, 999)


class TestSettlementsOfFunding:
    """Two sources of one settlement, some milliseconds apart, tell of one event."""

    def test_are_put_on_their_minute(self):
        found = judged("funding", {}, {}, times=[JANUARY + 6, JANUARY + 8 * HOUR - 2])
        assert found.accepted.event_time.tolist() == [JANUARY, JANUARY + 8 * HOUR]
        assert "2 settlements stamped milliseconds off the minute, put on it" in found.notes

    def test_are_one_event_then(self):
        assert judged("funding", {}, {}, times=[JANUARY, JANUARY + 31]).duplicates == 1

    def test_further_off_are_left_where_they_are(self):
        assert judged("funding", {}, times=[JANUARY + 10_000]).accepted.event_time.tolist() == [JANUARY + 10_000]


class TestAClockThatIsOff:
    """An event that was received before it happened is kept and noted."""

    def test_is_noted(self):
        found = judged("trades", {}, {"id": 2}, received=[JANUARY - 1_274, JANUARY + 5 * MINUTE])
        assert found.notes == ("1 event received before happening, by up to 1,274 ms: a clock was off",)
        assert len(found.accepted) == 2

    def test_by_less_than_a_second_is_not_worth_a_word(self):
        assert judged("trades", {}, received=[JANUARY - 900]).notes == ()


class TestAFileWithTooManyBadEvents:
    """Is refused whole: it is not what it claims to be."""

    def test_fails_with_counts_and_an_example(self):
        found = judged("trades", *({"id": i, "price": -1.0 if i < 5 else 1.0} for i in range(100)))
        with pytest.raises(
            UnreadableFileError,
            match=r"5 of 100 events are bad \(5 x a price is zero or negative\), first in row 2 \(2024-01-01 00:00",
        ):
            reject_bad_file([found], RULES)

    def test_passes_if_they_are_few_or_the_user_says_so(self):
        few = judged("trades", *({"id": i, "price": -1.0 if i < 3 else 1.0} for i in range(100)))
        reject_bad_file([few], RULES)
        many = judged("trades", *({"id": i, "price": -1.0 if i < 50 else 1.0} for i in range(100)))
        reject_bad_file([many], RULES, max_bad_share=0.6)

    def test_fails_without_one_good_event(self):
        with pytest.raises(UnreadableFileError, match=r"Nothing was stored. Not one is good: is it the right file"):
            reject_bad_file([judged("trades", {"price": -1.0})], RULES, max_bad_share=1.0)

    def test_is_judged_over_all_that_it_holds(self):
        """Three bad trades in a large file do not fail it, in whichever symbol they are."""
        good = judged("trades", *({"id": i} for i in range(5_000)))
        bad = judged("trades", *({"id": i, "price": -1.0} for i in range(4)))
        reject_bad_file([good, bad], RULES)

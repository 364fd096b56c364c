"""Time is UTC milliseconds and bar numbers."""

from __future__ import annotations

import pytest

from virtuoso.clock import Env, Span, Timeframe, iso, parse_time, parse_timerange
from virtuoso.errors import ConfigError

CRASH = 1_760_130_900_000  # 2025-10-10T21:15Z


class TestATimeframe:
    @pytest.mark.parametrize(("name", "ms"), [("1s", 1_000), ("5m", 300_000), ("4h", 14_400_000), ("1d", 86_400_000)])
    def test_has_a_length(self, name, ms):
        assert Timeframe(name).ms == ms

    @pytest.mark.parametrize("name", ["7m", "1w", "0m", "5", "m", "1M", "5 m", "-1m", ""])
    def test_that_numbers_no_bars_is_refused(self, name):
        with pytest.raises(ConfigError, match="timeframe must"):
            Timeframe(name)

    def test_numbers_its_bars_from_the_epoch(self):
        five = Timeframe("5m")
        number = five.number(CRASH)
        assert five.open_time(number) == CRASH
        assert five.number(CRASH - 1) == number - 1
        assert five.close_time(number) == CRASH + 300_000

    def test_counts_the_bars_of_a_span(self):
        assert Timeframe("5m").bars("1h") == 12
        assert Timeframe("4h").bars(Span("1h")) == 1

    def test_knows_how_many_faster_bars_it_holds(self):
        assert Timeframe("4h").ratio(Timeframe("5m")) == 48
        with pytest.raises(ConfigError, match="not a whole number"):
            Timeframe("5m").ratio(Timeframe("2m"))


class TestAMoment:
    @pytest.mark.parametrize(
        "text", ["2025-10-10T21:15Z", "2025-10-10 21:15", "2025-10-10T23:15+02:00", "1760130900000"]
    )
    def test_is_read_as_utc(self, text):
        assert parse_time(text) == CRASH

    def test_is_printed_with_its_zone(self):
        assert iso(CRASH) == "2025-10-10 21:15:00Z"
        assert iso(CRASH + 7) == "2025-10-10 21:15:00.007Z"

    @pytest.mark.parametrize("text", ["yesterday", "2025-13-01", "20251301", "12:00", ""])
    def test_that_is_none_is_refused(self, text):
        with pytest.raises(ConfigError, match="is not a time"):
            parse_time(text)


class TestATimerange:
    def test_is_open_on_either_side(self):
        start, end = 1_751_587_200_000, 1_761_868_800_000
        assert parse_timerange("20250704-20251031") == (start, end)
        assert parse_timerange("20250704-") == (start, None)
        assert parse_timerange("-20251031") == (None, end)

    @pytest.mark.parametrize("text", ["-", "20250704", "20251031-20250704", "2025-07-04-2025-10-31"])
    def test_that_makes_no_sense_is_refused(self, text):
        with pytest.raises(ConfigError):
            parse_timerange(text)


def test_the_outside_world_can_be_replaced():
    env = Env(now_ms=5, seed=3)
    assert env.now_ms() == 5
    assert env.random().random() == Env(seed=3).random().random()
    assert env.new_id() != env.new_id()

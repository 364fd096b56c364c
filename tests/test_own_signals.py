"""Own signals and target weights: what everybody tries first works, or answers with the call that does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import virtuoso as vt
from tests.research.scenes import walk
from virtuoso import workflows
from virtuoso.errors import ConfigError, DataError
from virtuoso.runs.schema import OF_SCORES, decider_words

QUIET = {"record": False}
PERPETUAL = {"record": False, "assume_funding": 0.0001, "mark": "last"}
FREE = {"fees": 0.0, "slippage": 0.0}


def table(seed: int = 1, n: int = 1_500, gap: float = 0.0005) -> pd.DataFrame:
    """Candles as an exchange gives them, labelled by their opens."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.004 * random.standard_normal(n)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(gap * random.standard_normal(n))
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    index = pd.date_range("2024-01-01", periods=n, freq="1h", tz="UTC")
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close, "volume": 1.0}, index)


def market(seed: int = 1, symbol: str = "BTCUSDT", venue: str = "x-spot", **how) -> vt.MarketFrame:
    return vt.MarketFrame.from_pandas(table(seed, **how), "1h", symbol, venue, index="open")


def steps(*closes: float, venue: str = "x-usdm", opens: dict[int, float] | None = None) -> vt.MarketFrame:
    """Bars that open where the last one closed, but for some."""
    close = np.array(closes, dtype=float)
    opened = np.concatenate((close[:1], close[:-1]))
    for at, price in (opens or {}).items():
        opened[at] = price
    index = pd.date_range("2024-01-01", periods=len(close), freq="1h", tz="UTC")
    prices = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
    return vt.MarketFrame.from_pandas(pd.DataFrame({**prices, "volume": 1.0}, index), "1h", "BTCUSDT", venue)


@pytest.fixture(scope="module")
def frame() -> vt.MarketFrame:
    return market()


@pytest.fixture(scope="module")
def up(frame: vt.MarketFrame) -> pd.Series:
    return frame.close.ewm(span=10).mean() > frame.close.ewm(span=30).mean()


@pytest.fixture(scope="module")
def pair() -> list[vt.MarketFrame]:
    return [market(2, venue="x-usdm"), market(3, "ETHUSDT", "x-usdm")]


def flags(frame: vt.MarketFrame, *at: int) -> pd.Series:
    found = pd.Series(False, frame.df.index)
    found.iloc[list(at)] = True
    return found


class TestWhatEverybodyTriesFirst:
    def test_a_frame_alone_is_told_what_to_give(self, frame):
        with pytest.raises(TypeError, match=r"vt\.score\(frame\).*entries=.*position="):
            vt.backtest(frame)

    def test_entries_and_exits(self, frame, up):
        result = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        assert len(result.trades) > 20
        assert result.trades["pnl"].sum() == pytest.approx(result.equity.iloc[-1] - 10_000.0)
        assert result.equity.index.equals(frame.df.index)

    def test_a_series_without_its_frame(self, up):
        with pytest.raises(TypeError, match=r"given a Series.*vt.backtest\(frame, entries="):
            vt.backtest(up)

    def test_beside_scores_which_are_shown(self):
        scores = vt.score(walk(5, 3_000))
        signal = scores.confluence > np.nanmedian(scores.confluence)
        result = vt.backtest(scores, entries=signal, exits=~signal, **PERPETUAL)
        assert {"score", "face", "regime"} <= set(result.breakdowns["by"])
        assert np.isfinite(result.trades["score"]).all()
        assert result.trades["reliability"].isna().all()

    def test_booleans_and_weights_trade_alike_to_the_last_byte(self, frame, up):
        one = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        two = vt.backtest(frame, position=up * 1.0, **QUIET)
        three = vt.backtest(frame, entries=up.to_numpy(), exits=(~up).tolist(), **QUIET)
        for other in (two, three):
            assert other.trades.equals(one.trades)
            assert other.run.equity.tobytes() == one.run.equity.tobytes()

    def test_nothing_is_there_of_scores(self, frame, up, tmp_path):
        result = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        assert result.scores == ()
        assert not {"score", "face", "regime"} & set(result.breakdowns["by"])
        assert not set(result.data.tables) & OF_SCORES
        assert "prism" not in result.provenance
        assert result.configuration()["decided_by"]["name"] == "own signals"

    def test_the_run_folder_and_its_page(self, frame, up, tmp_path):
        result = vt.backtest(frame, entries=up, exits=~up, stop=0.03, **QUIET)
        folder, fresh = workflows.save_run(result, tmp_path / "run")
        assert fresh
        assert {path.name for path in folder.iterdir()} == set(result.names)
        assert not OF_SCORES & {path.name for path in folder.iterdir()}
        assert workflows.save_run(result, tmp_path / "run") == (folder, False)
        assert all(path.stat().st_size > 1_000 for path in workflows.report(folder, tmp_path / "page"))

    def test_bare_booleans_never_ship(self, frame, up, tmp_path):
        folder, _ = workflows.save_run(
            vt.backtest(frame, entries=up, exits=~up, **QUIET), tmp_path / "run", report=False
        )
        assert '"decision": "ship"' not in (folder / "honesty.json").read_text()


class TestSizes:
    def test_a_share_of_the_equity_at_the_close_of_the_decision(self):
        frame = steps(100, 100, 110, 110, opens={2: 105.0})
        result = vt.backtest(frame, entries=flags(frame, 1), size=0.5, **FREE, **PERPETUAL)
        trade = result.trades.iloc[0]
        assert trade["size"] == pytest.approx(0.5 * 10_000.0 / 100.0, rel=1e-12)
        assert trade["entry_price"] == 105.0
        assert trade["entry_time"] == frame.df.index[1]

    def test_what_cannot_be_paid_is_cut_and_counted(self):
        frame = steps(100, 100, 110, 110, opens={2: 105.0}, venue="x-spot")
        result = vt.backtest(frame, entries=flags(frame, 1), fees=0.001, slippage=0.0, **QUIET)
        assert result.trades["size"].iloc[0] == pytest.approx(10_000.0 / (105.0 * 1.001), rel=1e-12)
        assert result.counts["cut: cash"] == 1
        assert result.counts["withdrawn"] == 0

    def test_up_to_the_leverage(self):
        frame = steps(100, 100, 101, 101)
        assert (
            vt.backtest(frame, entries=flags(frame, 1), size=2.0, leverage=3, **FREE, **PERPETUAL).trades["size"][0]
            == 200.0
        )
        with pytest.raises(ConfigError, match=r"BTCUSDT x-usdm is to hold 4 times.*from -3 to 3.*leverage="):
            vt.backtest(frame, entries=flags(frame, 1), size=4.0, leverage=3, **PERPETUAL)

    def test_risk_to_the_stop_instead(self):
        frame = steps(100, 100, 101, 101)
        result = vt.backtest(frame, entries=flags(frame, 1), stop=0.02, risk=0.01, leverage=3, **FREE, **PERPETUAL)
        assert result.trades["size"][0] == pytest.approx(0.01 * 10_000.0 / 2.0)
        assert result.trades["risk"][0] == pytest.approx(100.0)

    def test_without_a_stop_there_is_no_r(self, frame, up):
        result = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        assert result.trades[["risk", "r", "stop"]].isna().all(axis=None)
        assert np.isnan(result.metrics["mean_r"])

    def test_a_rebate_is_received(self):
        frame = steps(100, 100, 100, 103, 103)
        result = vt.backtest(
            frame, entries=flags(frame, 1), target=0.02, maker=-0.001, taker=0.0, slippage=0.0, **PERPETUAL
        )
        trade = result.trades.iloc[0]
        assert (trade["reason"], trade["exit_price"]) == ("target", 102.0)
        assert trade["fees"] == pytest.approx(-0.001 * 102.0 * 100.0)


class TestBooleans:
    def trades(self, frame, **given):
        return vt.backtest(frame, **given, **FREE, **PERPETUAL).trades

    def test_exits_leave_longs_only(self):
        frame = steps(*[100] * 8)
        trades = self.trades(frame, short_entries=flags(frame, 1), entries=flags(frame), exits=flags(frame, 3))
        assert trades["reason"].tolist() == ["open"]
        assert trades["side"].tolist() == ["short"]

    def test_a_short_entry_turns_a_long_around(self):
        frame = steps(*[100] * 8)
        trades = self.trades(frame, entries=flags(frame, 1), short_entries=flags(frame, 4))
        assert trades["side"].tolist() == ["long", "short"]
        assert trades["exit_bar_time"].iloc[0] == trades["entry_time"].iloc[1] == frame.df.index[4]

    def test_what_stays_true_enters_again_after_its_stop(self):
        frame = steps(100, 100, 100, 90, 100, 100, 100)
        trades = self.trades(frame, entries=pd.Series(True, frame.df.index), stop=0.05)
        assert trades["reason"].tolist() == ["stop", "open"]
        assert trades["entry_time"].iloc[1] == frame.df.index[3]

    def test_entry_and_exit_at_one_close_cancel_each_other(self):
        frame = steps(*[100] * 8)
        result = vt.backtest(frame, entries=flags(frame, 1, 4), exits=flags(frame, 4, 6), **FREE, **PERPETUAL)
        assert result.trades["exit_bar_time"].tolist() == [frame.df.index[6]]
        assert result.counts["refused: entry and exit at one close"] == 1
        result = vt.backtest(frame, entries=flags(frame, 1), short_entries=flags(frame, 1), **FREE, **PERPETUAL)
        assert not len(result.trades)
        assert result.counts["refused: long and short entry at one close"] == 1

    def test_spot_refuses_shorts_and_counts_them(self):
        frame = steps(*[100] * 8, venue="x-spot")
        result = vt.backtest(frame, entries=flags(frame, 1), short_entries=flags(frame, 3, 5), **FREE, **QUIET)
        assert result.trades["side"].tolist() == ["long"]
        assert result.counts["refused: short on spot"] == 2

    @pytest.mark.parametrize("unknown", [None, float("nan"), pd.NA], ids=["None", "NaN", "NA"])
    def test_what_is_not_known_decides_nothing(self, unknown):
        frame = steps(*[100] * 8)
        signal = flags(frame, 2).astype(object)
        signal.iloc[[1, 3]] = unknown
        trades = self.trades(frame, entries=signal)
        assert trades["decided_at"].tolist() == [frame.df.index[2]]
        assert trades.equals(self.trades(frame, entries=signal.astype("boolean")))

    def test_of_a_shifted_or_reindexed_series_too(self, frame, up):
        moved = up.shift(1)
        assert moved.dtype == object
        assert len(vt.backtest(frame, entries=moved, exits=~up, **QUIET).trades)
        assert len(vt.backtest(frame, entries=up.iloc[7:].reindex(frame.df.index), exits=~up, **QUIET).trades)

    @pytest.mark.parametrize("as_", ["int8", "float64", "Int64", "boolean"])
    def test_zeros_and_ones_are_false_and_true(self, frame, up, as_):
        plain = vt.backtest(frame, entries=up, exits=~up, **QUIET)
        assert vt.backtest(frame, entries=up.astype(as_), exits=(~up).astype(as_), **QUIET).trades.equals(plain.trades)


class TestLevels:
    def test_a_number_is_a_share_of_the_close_and_a_series_is_prices(self, frame, up):
        one = vt.backtest(frame, entries=up, exits=~up, stop=0.02, target=0.03, **QUIET)
        prices = {"stop": frame.close * (1.0 - 0.02), "target": frame.close * (1.0 + 0.03)}
        two = vt.backtest(frame, entries=up, exits=~up, **prices, **QUIET)
        assert {"stop", "target"} <= set(one.trades["reason"])
        assert one.trades.equals(two.trades)

    def test_of_trail_a_series_is_the_distance(self, frame, up):
        one = vt.backtest(frame, entries=up, trail=0.02, **QUIET)
        two = vt.backtest(frame, entries=up, trail=frame.close * 0.02, **QUIET)
        assert set(one.trades["reason"]) <= {"stop", "open"}
        assert (one.trades["exit_price"] > one.trades["stop"]).any()
        assert one.trades.equals(two.trades)

    def test_trail_alone_begins_at_its_distance_from_the_close(self):
        frame = steps(100, 100, 100, 110, 107, 107)
        trade = vt.backtest(frame, entries=flags(frame, 1), trail=0.02, **FREE, **PERPETUAL).trades.iloc[0]
        assert trade["stop"] == 98.0
        assert (trade["reason"], trade["exit_price"]) == ("stop", 108.0)

    def test_several_targets_leave_in_parts(self):
        frame = steps(100, 100, 100, 101.5, 103, 103)
        how = {"entries": flags(frame, 1), **FREE, **PERPETUAL}
        trade = vt.backtest(frame, target=[0.01, 0.02], **how).trades.iloc[0]
        assert (trade["exit_price"], trade["targets"]) == (101.5, 2)
        assert vt.backtest(frame, target=[(0.01, 0.25), (0.02, 0.75)], **how).trades["exit_price"][0] == 101.75
        assert vt.backtest(frame, target=[(0.01, 0.25)], **how).trades["reason"].tolist() == ["open"]

    def test_on_the_wrong_side_they_refuse_their_entry_and_are_counted(self, frame, up):
        stops = frame.close * 0.98
        stops.iloc[::2] = frame.close.iloc[::2] * 1.02
        stops.iloc[1::4] = np.nan
        result = vt.backtest(frame, entries=up, exits=~up, stop=stops, **QUIET)
        told = "refused: stop, target or trail on the wrong side of the close, or not known"
        assert result.counts[told] == int(up[stops.isna() | (stops > frame.close)].sum())

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"stop": 2}, r"stop=0.02 lies 2 % from the close; was 2"),
            ({"stop": 0.0}, "above 0"),
            ({"stop": True}, "was True"),
            ({"stop": "2%"}, "is text"),
            ({"target": -0.02}, "target is a share of the close above 0"),
            ({"trail": 1.5}, "trail is a share of the close"),
            ({"size": 0}, "size is a share of the equity above 0"),
            ({"target": [0.01] * 4}, "one to 3 targets"),
            ({"target": [(0.01, 0.7), (0.02, 0.7)]}, "1 together at most"),
            ({"target": [(0.01, 0.7), 0.02]}, "a list of targets, or one of"),
        ],
    )  # fmt: skip
    def test_a_number_that_is_none_is_refused_with_one_that_is(self, frame, up, given, said):
        with pytest.raises(ConfigError, match=said):
            vt.backtest(frame, entries=up, **given, **QUIET)

    @pytest.mark.parametrize("name", ["stop", "target", "trail"])
    def test_a_series_of_shares_is_refused_with_the_call_that_fixes_it(self, name):
        frame = market(4)
        shares = pd.Series(0.02, frame.df.index) if name != "trail" else pd.Series(0.005, frame.df.index)
        with pytest.raises(DataError, match=rf"{name} holds .* a number is a share.*give frame\.close \*"):
            vt.backtest(frame, entries=pd.Series(True, frame.df.index), **{name: shares}, **QUIET)


class TestWeights:
    def run(self, frame, position, **how):
        return vt.backtest(frame, position=position, **{**FREE, **PERPETUAL, **how})

    def fills(self, result):
        events = result.run.events
        return [
            (e["instant"] - result.panel.first, round(e["size"], 9)) for e in events[np.isin(events["kind"], (0, 1))]
        ]

    def test_adds_reductions_and_flips(self):
        frame = steps(*[100] * 8)
        result = self.run(frame, pd.Series([0.0, 0.5, 1.0, 0.25, -0.5, -0.5, 0.0, 0.0], frame.df.index))
        assert self.fills(result) == [(2, 50), (3, 50), (4, -75), (5, -25), (5, -50), (7, 50)]
        assert result.trades["side"].tolist() == ["long", "short"]

    def test_nan_leaves_what_is_held_as_it_is(self):
        frame = steps(*[100] * 8)
        result = self.run(frame, pd.Series([np.nan, 0.5, np.nan, np.nan, 0.5, np.nan, 0.0, 0.0], frame.df.index))
        assert self.fills(result) == [(2, 50), (7, -50)]

    def test_change_trades_what_changes_and_bar_what_drifts(self):
        frame = steps(100, 100, 100, 200, 200, 200)
        half = pd.Series(0.5, frame.df.index)
        assert self.fills(self.run(frame, half)) == [(1, 50)]
        assert self.fills(self.run(frame, half, rebalance="bar")) == [(1, 50), (4, -12.5)]

    def test_a_period_trades_at_its_first_close(self):
        frame = market(5, n=200, venue="x-usdm")
        result = self.run(frame, pd.Series(0.5, frame.df.index), rebalance="1d")
        times = pd.to_datetime((result.run.intents["number"] + 1) * 3_600_000, unit="ms", utc=True)
        assert times[0] == frame.df.index[0]
        assert set(times[1:].hour) == {0}
        assert len(times) == len(set(frame.df.index.normalize()))

    def test_a_number_stands_for_every_bar(self, frame):
        held = vt.backtest(frame, position=1.0, **QUIET)
        assert held.trades["reason"].tolist() == ["open"]

    def test_outside_the_leverage_it_names_value_time_and_instrument(self, pair):
        frame = pair[0]
        weights = pd.Series(0.0, frame.df.index)
        weights.iloc[10] = -3.5
        with pytest.raises(
            ConfigError, match=rf"BTCUSDT x-usdm is to hold -3.5 .*{frame.df.index[10]:%Y-%m-%d %H:%M}.*leverage="
        ):
            self.run(frame, weights)
        self.run(frame, weights, leverage=4)

    def test_columns_go_by_name_in_any_spelling_and_never_by_place(self, pair):
        index = pair[0].df.index
        weights = pd.DataFrame({"ETH/USDT:USDT": -0.5, "btcusdt": 0.5}, index=index)
        result = vt.backtest(pair, position=weights, **PERPETUAL)
        assert dict(zip(result.trades["symbol"], result.trades["side"], strict=True)) == {
            "BTCUSDT": "long",
            "ETHUSDT": "short",
        }
        named = {str(pair[1].instrument): -0.5, "BTC-USDT": weights["btcusdt"]}
        again = vt.backtest(pair[::-1], position=named, **PERPETUAL)
        assert again.trades.equals(result.trades)
        with pytest.raises(DataError, match="no column for ETHUSDT"):
            vt.backtest(pair, position=weights[["btcusdt"]], **PERPETUAL)
        with pytest.raises(DataError, match=r"'ETHUSDC', which is not traded here. Did you mean 'ETHUSDT'"):
            vt.backtest(pair, position=weights.rename(columns={"ETH/USDT:USDT": "ETHUSDC"}), **PERPETUAL)
        with pytest.raises(DataError, match="two columns for BTCUSDT"):
            vt.backtest(pair, position=weights.assign(BTCUSDT=0.1), **PERPETUAL)
        with pytest.raises(DataError, match=r"one Series for 2 instruments.*BTCUSDT, ETHUSDT"):
            vt.backtest(pair, position=weights["btcusdt"], **PERPETUAL)
        with pytest.raises(DataError, match="by name, never by place"):
            vt.backtest(pair, position=weights.to_numpy(), **PERPETUAL)

    def test_one_that_is_listed_late_has_a_part_of_the_labels(self, pair):
        late = vt.MarketFrame.from_pandas(table(3).iloc[700:], "1h", "ETHUSDT", "x-usdm")
        index = pair[0].df.index
        weights = pd.DataFrame({"BTCUSDT": 0.5, "ETHUSDT": 0.25}, index=index)
        result = vt.backtest([pair[0], late], position=weights, **PERPETUAL)
        assert result.trades["decided_at"].tolist() == [index[0], index[700]]
        with pytest.raises(DataError, match="labels that the frame lacks"):
            vt.backtest([pair[0], late], position=weights.shift(3, freq="1h"), **PERPETUAL)

    def test_nothing_goes_beside_it(self, frame):
        for name in ("stop", "target", "trail", "size", "entries"):
            with pytest.raises(ConfigError, match=f"so {name}= has no place beside it"):
                vt.backtest(frame, position=1.0, **{name: 0.5 if name != "entries" else True}, **QUIET)


class TestLimits:
    def test_they_are_reported_and_enforced_on_demand(self, pair):
        rows = pd.DataFrame({one.instrument.symbol: one.close > one.close.rolling(20).mean() for one in pair})
        free = vt.backtest(pair, entries=rows, exits=~rows, **PERPETUAL)
        would = {name: n for name, n in free.counts.items() if name.startswith("would have been")}
        assert would["would have been cut: heat"] > 10
        assert "Not limited" in free.summary()
        bound = vt.backtest(pair, entries=rows, exits=~rows, limits=True, **PERPETUAL)
        assert bound.account.halt
        assert bound.counts["cut: heat"] > 0
        assert not any(name.startswith("would have been") for name in bound.counts)
        assert bound.trades["size"].max() < free.trades["size"].max()


class TestLabels:
    def test_open_times_are_refused_with_the_call_that_shifts_them(self, frame):
        raw = table()["close"] > 100.0
        with pytest.raises(
            DataError, match=r"open times.*entries.index = entries.index \+ pd.Timedelta\('1h'\)"
        ) as refused:
            vt.backtest(frame, entries=raw, **QUIET)
        assert "index='open'" in str(refused.value)
        shifted = raw.set_axis(raw.index + pd.Timedelta("1h"))
        assert len(vt.backtest(frame, entries=shifted, exits=~shifted, **QUIET).trades)
        with pytest.raises(DataError, match="open times"):
            vt.backtest(frame, entries=raw.iloc[30:], **QUIET)
        with pytest.raises(DataError, match="open times"):
            vt.backtest(frame, entries=raw.rename_axis("open_time").iloc[3:9], **QUIET)

    def test_a_zone_is_converted_and_none_is_utc_and_order_is_no_matter(self, frame, up):
        plain = vt.backtest(frame, entries=up, exits=~up, **QUIET).trades
        for other in (up.tz_localize(None), up.tz_convert("Asia/Tokyo"), up.sample(frac=1.0, random_state=1)):
            assert vt.backtest(frame, entries=other, exits=~up, **QUIET).trades.equals(plain)

    def test_a_part_of_the_bars_decides_there_alone(self, frame, up):
        part = vt.backtest(frame, entries=up.iloc[100:200], exits=~up, **QUIET)
        assert part.trades["decided_at"].min() >= frame.df.index[100]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda s: pd.concat([s, s.iloc[:2]]), "twice"),
            (lambda s: s.reindex(s.index.union([s.index[-1] + pd.Timedelta("9h")])), r"the frame lacks: 2024.*reindex"),
            (lambda s: s.set_axis(s.index - pd.Timedelta("90min")).iloc[9:], r"no close of a 1h bar.*method='ffill'"),
            (lambda s: s.set_axis(s.index.astype(str)), r"labelled by str.*pd.to_datetime"),
            (lambda s: s.reset_index(drop=True), "labelled by a RangeIndex, not by times"),
            (lambda s: s.to_numpy()[:-1], r"shape \(1499,\) for 1,500 bars"),
            (lambda s: s.astype(str), r"dtype str.*one boolean a bar"),
            (lambda s: s.astype(int) - 2, r"-2 at 2024.*neither true nor false"),
            (lambda s: s.astype(object).where(s, "no"), "one boolean a bar"),
            (lambda s: s.to_frame("BTCUSDC"), "not traded here"),
        ],
        ids=["twice", "outside", "between", "words", "no times", "length", "text", "ints", "objects", "column"],
    )  # fmt: skip
    def test_others_are_refused_by_name(self, frame, up, change, said):
        with pytest.raises(DataError, match=said):
            vt.backtest(frame, entries=change(up), **QUIET)

    def test_a_slower_signal_is_brought_to_the_closes(self, frame, up):
        slow = frame.resample("4h").close
        held = (slow > slow.shift(1)).reindex(frame.df.index, method="ffill")
        assert len(vt.backtest(frame, entries=held, exits=held == False, **QUIET).trades)  # noqa: E712  # None is neither


class TestWrongUse:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"exits": True}, "exits= was given without entries"),
            ({"entries": True, "short_exits": True}, "short_exits= leaves shorts only"),
            ({"entries": True, "risk": 0.01}, "Give stop= or trail= too"),
            ({"entries": True, "stop": 0.02, "risk": 0.01, "size": 0.5}, "were both given"),
            ({"entries": True, "rebalance": "1d"}, "belongs to position="),
            ({"position": 1.0, "rebalance": "7m"}, "'change', 'bar', or a period of whole 1h bars"),
            ({"entries": True, "fees": -0.0001}, "Say maker=-0.0001 for the rebate"),
            ({"entries": True, "taker": -0.0001}, "taker is a share of a fill, from 0"),
            ({"entries": True, "maker": -0.2}, r"maker is a share of a fill, from -0.1 \(a rebate\)"),
            ({"entries": "yes"}, "is text"),
            ({"entries": 2}, "true or false at each close, was 2"),
        ],
    )  # fmt: skip
    def test_is_answered_in_the_caller_s_words(self, frame, given, said):
        with pytest.raises(ConfigError, match=said):
            vt.backtest(frame, **given, **QUIET)

    def test_an_argument_that_there_is_not(self, frame):
        with pytest.raises(TypeError, match=r"no argument 'entry'. Did you mean 'entries'"):
            vt.backtest(frame, entry=True, **QUIET)


class TestTheLedger:
    def test_each_is_one_try_by_what_it_decides(self, tmp_path, monkeypatch, frame, up):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "virtuoso.toml").write_text("")
        sides = ((up, ~up), (up.to_numpy(), (~up).to_numpy()), (~up, up))
        tries = [vt.backtest(frame, entries=a, exits=b).recording.tried.configurations for a, b in sides]
        assert tries == [1, 1, 2]


class TestVectorbt:
    """The same fills, where vectorbt models the case: spot, without stops."""

    COSTS = {"fees": 0.001, "slippage": 0.0005}

    def bars(self, frame):
        shown = frame.df
        return shown["open"], shown["close"]

    def same(self, result, portfolio):
        theirs = portfolio.orders.records
        filled = result.run.events[np.isin(result.run.events["kind"], (0, 1))]
        assert len(theirs) == len(filled)
        assert np.allclose(theirs["size"], np.abs(filled["size"]), rtol=1e-9)
        assert np.allclose(theirs["price"], filled["price"], rtol=1e-9)
        assert np.allclose(theirs["fees"], filled["fee"], rtol=1e-9)
        assert (theirs["side"] == np.where(filled["size"] > 0, 0, 1)).all()
        assert (theirs["idx"] == filled["instant"] - result.panel.first).all()
        assert np.allclose(portfolio.value().to_numpy(), result.equity.to_numpy(), rtol=1e-9)

    def test_entries_and_exits_with_all_of_the_cash(self, frame, up):
        vbt = pytest.importorskip("vectorbt")
        opened, close = self.bars(frame)
        late = up.shift(1, fill_value=False)
        portfolio = vbt.Portfolio.from_signals(
            close, late, ~late, price=opened, size=np.inf, init_cash=10_000.0, freq="1h", **self.COSTS
        )
        result = vt.backtest(frame, entries=up, exits=~up, **self.COSTS, **QUIET)
        assert len(result.trades) > 20
        self.same(result, portfolio)
        closed = result.trades[result.trades["reason"] != "open"]
        theirs = portfolio.trades.closed.records
        assert np.allclose(theirs["pnl"], closed["pnl"], rtol=1e-6, atol=1e-6)

    def test_weights_with_the_equity_at_the_close_before(self, frame, up):
        vbt = pytest.importorskip("vectorbt")
        opened, close = self.bars(frame)
        weights = (up * 0.6 + 0.2).where(up | (frame.close > frame.close.shift(3)), 0.0)
        weights.iloc[:5] = 0.0
        ordered = weights.where(weights != weights.shift(1)).shift(1)
        portfolio = vbt.Portfolio.from_orders(
            close, ordered, size_type="targetpercent", price=opened, val_price=close.shift(1).bfill(), freq="1h",
            init_cash=10_000.0, **self.COSTS,
        )  # fmt: skip
        self.same(vt.backtest(frame, position=weights, **self.COSTS, **QUIET), portfolio)

    def test_fills_become_its_portfolio(self, frame, up):
        pytest.importorskip("vectorbt")
        result = vt.backtest(frame, position=up * 0.7, rebalance="1d", **self.COSTS, **QUIET)
        assert np.allclose(result.to_vectorbt().value().to_numpy(), result.equity.to_numpy(), rtol=1e-9)

    def test_the_cross_check_compares_entries_and_exits_and_says_what_it_cannot(self, frame, up):
        pytest.importorskip("vectorbt")
        found = workflows.cross_check(vt.backtest(frame, entries=up, exits=~up, **QUIET))
        assert found.same == found.contract == found.vectorbt > 20
        with pytest.raises(ConfigError, match=r"target weights add to positions.*to_vectorbt"):
            workflows.cross_check(vt.backtest(frame, position=up * 1.0, **QUIET))


def test_a_table_of_instruments_that_were_listed_at_different_times_is_taken_by_each_ones_bars():
    hours = pd.date_range("2025-01-01", periods=400, freq="h", tz="UTC")
    price = 100.0 + np.cumsum(np.random.default_rng(3).normal(0.0, 0.4, len(hours)))
    bars = pd.DataFrame({"open": price, "high": price + 1.0, "low": price - 1.0, "close": price, "volume": 1.0}, hours)
    early = vt.MarketFrame.from_pandas(bars[:390], "1h", symbol="BTCUSDT", venue="binance-spot", index="open")
    late = vt.MarketFrame.from_pandas(bars[1:], "1h", symbol="ETHUSDT", venue="binance-spot", index="open")
    closes = pd.concat({"BTCUSDT": early.df["close"], "ETHUSDT": late.df["close"]}, axis=1)
    rising = closes > closes.shift(3)
    weights = rising * 0.4
    both = vt.backtest([early, late], position=weights, record=False)
    for frame in (early, late):
        symbol = frame.instrument.symbol
        alone = vt.backtest(frame, position=weights[symbol].reindex(frame.df.index), record=False)
        times = both.trades.query("symbol == @symbol")[["entry_time", "exit_bar_time"]].reset_index(drop=True)
        assert times.equals(alone.trades[["entry_time", "exit_bar_time"]])
    with pytest.raises(DataError, match="labelled by open times"):
        vt.backtest([early, late], position=weights.shift(-1, freq="h"), record=False)


class TestWhatDecidedIsNamed:
    """A heading says whose idea it was, unless it was the shipped rule."""

    def test_in_words(self):
        assert decider_words({}) == decider_words({"name": "rule"}) == ""
        assert decider_words({"name": "weights", "rebalance": "1d"}) == "target weights"
        given = {"name": "EmaCross", "class": "mine:EmaCross", "parameters": {"fast": 10, "slow": 50}}
        assert decider_words(given) == "EmaCross(fast=10, slow=50)"

    def test_on_a_result(self):
        frame = walk(3, 300)
        result = vt.backtest(frame, position=pd.Series(0.5, frame.df.index), **PERPETUAL)
        assert f"Backtest of target weights on {frame.instrument}" in repr(result).splitlines()[0]
        assert f"target weights on {frame.instrument}" in " ".join(result.summary().split())

    def test_one_wrong_value_is_not_said_to_have_company(self):
        frame = walk(3, 300)
        weights = pd.Series(0.5, frame.df.index)
        weights.iloc[10] = 99.0
        with pytest.raises(ConfigError, match=r"hold 99 times the equity at \S+ \S+; the account"):
            vt.backtest(frame, position=weights, **PERPETUAL)

"""Every obvious thing that a user of pandas and vectorbt tries first: it works, or answers with the right hint.

One market for all: ten days of two simulated coins in a lake of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import virtuoso as vt
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, DataError
from virtuoso.prism.laws.certificate import Certificate
from virtuoso.prism.laws.findings import Finding
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.venues.simulator import write_archive

DAYS = 10
TERMS = {"assume_funding": 0.0001, "mark": "last", "record": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("obvious")
    write_archive(folder / "raw", vt.simulate(["BTCUSDT", "ETHUSDT"], days=DAYS, seed=7))
    report = vt.import_files(folder / "raw", venue="simulated", data=folder / "data")
    assert report.ok
    return folder / "data"


@pytest.fixture(scope="module")
def frame(root: Path) -> vt.MarketFrame:
    return vt.load("BTCUSDT", "5m", data=root, start="2025-01-03", end="2025-01-09")


@pytest.fixture(scope="module")
def scores(frame: vt.MarketFrame) -> vt.Scores:
    return vt.score(frame)


class TestLoading:
    def test_a_range_is_said_in_any_way(self, root: Path):
        asked = {"data": root}
        one = vt.load("BTCUSDT", "5m", start="2025-01-03", end="2025-01-05", **asked)
        for other in (
            vt.load("btcusdt", "5m", timerange="20250103-20250105", **asked),
            vt.load("BTC/USDT:USDT", "5m", timerange="2025-01-03:2025-01-05", **asked),
            vt.load(
                "BTCUSDT", "5m", start=pd.Timestamp("2025-01-03"), end=pd.Timestamp("2025-01-05", tz="UTC"), **asked
            ),
            vt.load("BTCUSDT", "5m", start=datetime(2025, 1, 3, tzinfo=UTC), end=np.datetime64("2025-01-05"), **asked),
        ):
            assert other.to_pandas().equals(one.to_pandas())
        assert len(one) == 2 * 288

    def test_a_range_is_said_once(self, root: Path):
        with pytest.raises(ConfigError, match="said once"):
            vt.load("BTCUSDT", "5m", start="2025-01-03", timerange="20250103-20250105", data=root)

    def test_several_symbols_give_a_frame_each(self, root: Path):
        found = vt.load(["BTCUSDT", "ETHUSDT"], "1H", data=root)
        assert [str(one.instrument) for one in found] == ["BTCUSDT simulated", "ETHUSDT simulated"]
        assert found[0].timeframe.name == "1h"

    @pytest.mark.parametrize("name", ["1w", "1M"])
    def test_weeks_and_months_name_what_to_do_instead(self, root: Path, name: str):
        with pytest.raises(ConfigError, match=r"resample\('W'\)"):
            vt.load("BTCUSDT", name, data=root)

    def test_a_lake_takes_the_data_root(self, root: Path):
        assert [str(one) for one in vt.Lake(root).instruments()] == ["BTCUSDT simulated", "ETHUSDT simulated"]
        assert vt.Lake(root).path == vt.Lake(root / "lake").path


class TestAFrame:
    def test_columns_are_series_labelled_by_the_close(self, frame: vt.MarketFrame):
        close = frame["close"]
        assert isinstance(close, pd.Series)
        assert (close.name, close.index.name, str(close.index.tz)) == ("close", "close_time", "UTC")
        assert close.index[0] == pd.Timestamp("2025-01-03 00:05", tz="UTC")
        assert close.equals(frame.close)
        assert close.equals(frame.to_pandas()["close"])
        assert close.rolling(20).mean().equals(frame.df["close"].rolling(20).mean())

    def test_tables_hold_the_range_that_was_asked(self, frame: vt.MarketFrame):
        assert len(frame.to_pandas()) == len(frame.df) == len(frame) == 6 * 288
        assert frame[["open", "close"]].shape == (len(frame), 2)
        assert frame.columns[:4] == ("open", "high", "low", "close")
        assert list(frame.describe().columns) == list(frame.columns)
        assert frame.head().equals(frame.df.head())
        assert frame.tail(3).equals(frame.df.tail(3))
        assert frame.tail(-1_720).equals(frame.df.tail(-1_720))
        assert frame.head(-1_720).equals(frame.df.head(-1_720))
        assert frame[-1].equals(frame.df.iloc[-1])

    @pytest.mark.parametrize(
        "key",
        [
            slice("2025-01-04", "2025-01-05"), slice("2025-01-04", None), slice(None, "2025-01-04 12:00"),
            slice("2025-01-04T06:00Z", "2025-01-04T07:00Z"), slice(pd.Timestamp("2025-01-04", tz="UTC"), None),
        ],
    )  # fmt: skip
    def test_slices_of_dates_are_those_of_pandas(self, frame: vt.MarketFrame, key: slice):
        part = frame[key]
        assert isinstance(part, vt.MarketFrame)
        assert part.to_pandas().equals(frame.to_pandas().loc[key])
        assert 0 < len(part) < len(frame)

    def test_a_day_and_a_month_are_dates_too(self, frame: vt.MarketFrame):
        assert frame["2025-01-04"].df.equals(frame.df.loc["2025-01-04"])
        assert len(frame["2025-01"]) == len(frame)

    @pytest.mark.parametrize(
        "key", [slice(100, 200), slice(-10, None), slice(None, 5), slice(5, 5), slice(9_999, None)]
    )
    def test_slices_of_places_are_those_of_a_list(self, frame: vt.MarketFrame, key: slice):
        assert frame[key].df.equals(frame.df[key])

    def test_a_slice_remembers_what_lies_before_it(self, frame: vt.MarketFrame, scores: vt.Scores):
        part = vt.score(frame["2025-01-05"])
        assert part.confluence.tobytes() == scores["2025-01-05"].confluence.tobytes()

    def test_slower_clocks_come_from_the_one_fold(self, frame: vt.MarketFrame):
        hours = frame.resample("1h")
        assert hours.timeframe.name == "1h"
        assert len(hours) == len(frame) // 12
        assert hours.close.to_numpy()[-1] == frame.close.to_numpy()[-1]
        assert frame.to_pandas("1h").equals(hours.to_pandas())
        assert hours.df["high"].max() == frame.df["high"].max()

    def test_the_table_makes_the_frame_again(self, frame: vt.MarketFrame):
        again = vt.MarketFrame.from_pandas(frame.df, "5m", "BTCUSDT", "simulated")
        assert again.df.equals(frame.df)

    def test_which_end_a_table_is_labelled_by_is_said(self, frame: vt.MarketFrame):
        plain = frame.df.drop(columns="state").rename_axis(index=None)
        opens = plain.set_axis(plain.index - pd.Timedelta("5min"))
        assert vt.MarketFrame.from_pandas(opens, "5m").df["close"].equals(frame.close)
        assert vt.MarketFrame.from_pandas(plain, "5m", index="close").df["close"].equals(frame.close)
        with pytest.raises(ConfigError, match="'open' or 'close'"):
            vt.MarketFrame.from_pandas(plain, "5m", index="left")

    def test_column_names_may_be_capitals_and_a_reversed_table_is_named(self, frame: vt.MarketFrame):
        plain = frame.df.drop(columns="state")
        again = vt.MarketFrame.from_pandas(plain.rename(columns=str.title), "5m")
        assert again.columns == frame.columns
        with pytest.raises(DataError, match="sort_index"):
            vt.MarketFrame.from_pandas(plain[::-1], "5m")

    def test_what_it_does_not_hold_is_a_key_error_with_the_nearest_name(self, frame: vt.MarketFrame):
        with pytest.raises(KeyError, match="Did you mean 'close'"):
            frame["closee"]
        with pytest.raises(AttributeError, match="does not carry 'funding_rate'"):
            _ = frame.funding_rate
        with pytest.raises(AttributeError, match="Did you mean 'close'"):
            _ = frame.closee
        with pytest.raises(AttributeError, match=r"frame\['2025-08-01':'2025-09-01'\]"):
            _ = frame.loc
        with pytest.raises(ConfigError, match="step"):
            frame[::2]
        with pytest.raises(ConfigError, match="columns"):
            list(frame)

    def test_shows_itself_in_a_notebook(self, frame: vt.MarketFrame):
        page = frame._repr_html_()
        assert "SIMULATED" in page
        assert "<table" in page
        assert len(repr(frame).splitlines()) == 1


class TestScores:
    def test_frames_and_scores_join_without_a_shift(self, frame: vt.MarketFrame, scores: vt.Scores):
        joined = frame.df.join(scores.df[["confluence"]])
        assert joined.index.equals(scores.df.index)
        assert joined["close"].to_numpy()[-1] == frame.close.to_numpy()[-1]

    def test_faces_and_components_are_series(self, scores: vt.Scores):
        table = scores.df
        for name in ("confluence", "coverage", "technical", "technical.rsi"):
            assert scores[name].equals(table[name].rename(name))
        assert scores.technical.equals(scores["technical"])
        assert list(scores[["confluence", "volume"]].columns) == ["confluence", "volume"]
        assert "technical.rsi" in scores.columns

    def test_slices_are_scores_of_the_same_bits(self, scores: vt.Scores):
        day = scores["2025-01-05"]
        assert isinstance(day, vt.Scores)
        assert day.df.equals(scores.df.loc["2025-01-05"])
        assert scores[10:20].df.equals(scores.df[10:20])
        assert scores[-1].equals(scores.df.iloc[-1])
        assert scores.tail(2).equals(scores.df.tail(2))
        assert scores.head(2).equals(scores.df.head(2))
        assert "confluence" in scores.describe()

    def test_names_that_there_are_not_answer_with_a_hint(self, scores: vt.Scores):
        with pytest.raises(KeyError, match="Did you mean 'technical'"):
            scores["technica"]
        with pytest.raises(KeyError, match=r"scores\['technical'\]"):
            scores.column("technical")
        with pytest.raises(AttributeError, match="Did you mean 'technical'"):
            _ = scores.tecnical
        with pytest.raises(AttributeError, match="to_pandas"):
            _ = scores.index

    def test_moments_are_explained_however_they_are_said(self, scores: vt.Scores):
        text = repr(scores.explain("2025-01-05 12:00"))
        assert repr(scores.explain(pd.Timestamp("2025-01-05 12:00"))) == text
        assert repr(scores.explain(datetime(2025, 1, 5, 12, tzinfo=UTC))) == text
        assert repr(scores.explain(np.datetime64("2025-01-05T12:00"))) == text
        with pytest.raises(ConfigError, match="is not a time"):
            scores.explain("10/10/2025")
        for wrong in (True, pd.NaT, np.datetime64("NaT")):
            with pytest.raises(ConfigError, match="is not a moment"):
                scores.explain(wrong)

    def test_an_explanation_is_a_table(self, scores: vt.Scores):
        moment = scores.explain("2025-01-05 12:00")
        table = moment.to_pandas()
        assert list(table.index) == [row.name for row in moment.total]
        assert table["impact"].sum() == pytest.approx(moment.confluence)
        one = scores.explain("2025-01-05 12:00", face="technical")
        assert "rsi" in one.to_pandas().index
        assert "rsi" in repr(one)
        assert repr(moment["technical"]) == repr(one)
        assert "<table" in one._repr_html_()
        with pytest.raises(ConfigError, match="Did you mean 'technical'"):
            scores.explain(face="technica")

    def test_shows_itself_in_a_notebook(self, scores: vt.Scores):
        assert "SIMULATED" in scores._repr_html_()
        assert len(repr(scores).splitlines()) == 1


@pytest.fixture(scope="module")
def result(scores: vt.Scores) -> PortfolioResult:
    settings = vt.Settings.load(overrides={"signals.min_coverage": 0.05, "signals.bull_enter": 56.0})
    return vt.backtest(scores, settings=settings, leverage=3, **TERMS)


class TestAResult:
    def test_trades_are_a_table(self, result: PortfolioResult, frame: vt.MarketFrame):
        trades = result.trades
        assert len(trades) > 5
        assert {"symbol", "side", "entry_time", "entry_price", "pnl", "r", "mae", "mfe", "reason"} <= set(
            trades.columns
        )
        assert set(trades["side"]) <= {"long", "short"}
        assert trades["pnl"].sum() == pytest.approx(result.equity.iloc[-1] - 10_000.0)
        assert result.to_pandas() is trades

    def test_excursions_are_the_extremes_of_the_bars_of_a_trade(self, result: PortfolioResult, frame: vt.MarketFrame):
        bars = frame.df
        for _, trade in result.trades.iterrows():
            step = pd.Timedelta("5min")
            life = bars[trade["entry_time"] + step : trade["exit_bar_time"] + step]
            low, high = (
                life[name].agg(how) / trade["entry_price"] - 1.0 for name, how in (("low", "min"), ("high", "max"))
            )
            worst, best = (low, high) if trade["side"] == "long" else (-high, -low)
            assert trade["mae"] == pytest.approx(min(worst, 0.0))
            assert trade["mfe"] == pytest.approx(max(best, 0.0))

    def test_equity_and_returns_have_times(self, result: PortfolioResult, scores: vt.Scores):
        assert result.equity.index.equals(scores.df.index)
        assert ((1.0 + result.returns).prod() * 10_000.0) == pytest.approx(result.equity.iloc[-1])
        assert result.metrics["total_return"] == pytest.approx((1.0 + result.monthly).prod() - 1.0)
        assert str(result.monthly.index[0]) == "2025-01"

    def test_drawdowns_are_a_table_the_deepest_first(self, result: PortfolioResult):
        falls = result.drawdowns
        assert falls["depth"].is_monotonic_increasing
        assert falls["depth"].iloc[0] == pytest.approx(result.metrics["max_drawdown"])
        equity = pd.concat([pd.Series([10_000.0], index=[pd.Timestamp("2025-01-03", tz="UTC")]), result.equity])
        for _, fall in falls.iterrows():
            stretch = equity[fall["start"] : fall["recovery"] if pd.notna(fall["recovery"]) else None]
            assert stretch.idxmin() == fall["trough"]
            assert stretch.min() / stretch.iloc[0] - 1.0 == pytest.approx(fall["depth"])
            assert fall["length"] == stretch.index[-1] - stretch.index[0]
        assert falls["recovery"].isna().sum() <= 1

    def test_stats_stand_beside_holding(self, result: PortfolioResult):
        table = result.stats()
        assert table.loc["total_return", "strategy"] == result.metrics["total_return"]
        assert table.loc["total_return", "buy and hold"] == result.benchmark_metrics["total_return"]

    def test_shows_itself_on_one_screen_and_prints_it_all(self, result: PortfolioResult):
        assert len(repr(result).splitlines()) <= 24
        assert "SIMULATED" in repr(result)
        assert "SIMULATED" in result._repr_html_()
        assert len(str(result).splitlines()) > 40


class TestTerms:
    def test_what_is_no_score_is_named_with_the_call_that_works(self, frame: vt.MarketFrame):
        with pytest.raises(TypeError, match=r"given a MarketFrame. Try vt.backtest\(vt.score\(frame\)\)"):
            vt.backtest(frame, **TERMS)
        with pytest.raises(TypeError, match=r"vt.backtest trades scores, was given a Series"):
            vt.backtest(frame.close, **TERMS)
        with pytest.raises(TypeError, match=r"vt.sweep of a frame needs a strategy: .* vt.sweep\(vt.score\(frame\)"):
            vt.sweep(frame, 3, **TERMS)
        with pytest.raises(TypeError, match="at least one instrument"):
            vt.backtest([], **TERMS)

    def test_a_prism_fits_a_screen(self):
        assert len(repr(vt.Prism.standard()).splitlines()) == 8
        assert "technical 0.146341: rsi 0.166667" in repr(vt.Prism.standard())

    def test_a_certificate_fits_a_screen(self):
        findings = [Finding("cut", "rsi", "5m", "BROKEN", 1, 1.0, at=k) for k in range(100)]
        shown = repr(Certificate("BTCUSDT", "5m", 0, 1, findings, [], 0, "", "", "", {})).splitlines()
        assert len(shown) < 30
        assert "print(certificate)" in shown[-1]

    def test_an_argument_that_there_is_not_is_named_with_the_nearest(self, scores: vt.Scores):
        with pytest.raises(TypeError, match=r"vt.backtest has no argument 'fee'. Did you mean 'fees'"):
            vt.backtest(scores, fee=0.001, **TERMS)
        with pytest.raises(TypeError, match=r"vt.sweep has no argument 'takr'. Did you mean 'taker'"):
            vt.sweep(scores, 3, takr=0.001, **TERMS)

    def test_a_value_is_refused_under_the_name_that_was_used(self, scores: vt.Scores):
        with pytest.raises(ConfigError, match="fees is a share of each fill"):
            vt.backtest(scores, fees=5, **TERMS)

    def test_the_lake_of_the_frames_is_remembered(self, root: Path, scores: vt.Scores):
        from_frames = vt.backtest(scores, **TERMS)
        named = vt.backtest(scores, data=root, **TERMS)
        assert from_frames.panel.inside is not None
        assert repr(from_frames.metrics) == repr(named.metrics)

    def test_a_grid_is_every_combination(self, scores: vt.Scores):
        found = vt.sweep(scores, {"bull_enter": [60, 65, 70], "min_coverage": [0.05, 0.1]}, **TERMS)
        assert len(found) == 6
        table = found.to_pandas()
        assert table["bull_enter"].tolist() == [60, 60, 65, 65, 70, 70]
        assert table["min_coverage"].tolist() == [0.05, 0.1] * 3
        with pytest.raises(ConfigError, match="Did you mean 'bull_enter'"):
            vt.sweep(scores, {"bull_entr": [60]}, **TERMS)

    def test_weights_that_do_not_sum_to_1_are_refused(self):
        with pytest.raises(ConfigError, match=r"sum to 1.33 instead of 1"):
            vt.Prism.classic().reweighted({"technical": 0.5})
        with pytest.raises(ConfigError, match="components of 'technical' sum to"):
            vt.Prism.standard().reweighted(components={"technical.rsi": 0.9})


def test_a_timeframe_in_capitals_is_the_same():
    assert Timeframe("4H") == Timeframe("4h")
    assert Timeframe("1D") == Timeframe("1d")


class TestPictures:
    """What is drawn is what the object holds."""

    def test_a_frame_is_its_close(self, frame: vt.MarketFrame):
        axes = frame["2025-01-04"].plot()
        (line,) = axes.lines
        assert line.get_ydata().tolist() == frame["2025-01-04"].close.tolist()
        assert "simulated" in [text.get_text() for text in axes.texts]

    def test_thousands_of_bars_are_thinned_and_keep_their_extremes(self, root: Path):
        whole = vt.load("BTCUSDT", "1m", data=root)
        axes = whole.plot()
        (line,) = axes.lines
        assert len(line.get_ydata()) == 1_200 < len(whole)
        edge = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (np.nanmin(edge), np.nanmax(edge)) == (whole.low.min(), whole.high.max())

    def test_scores_are_areas_around_50(self, scores: vt.Scores):
        axes = scores["2025-01-05"].plot(of="technical")
        bullish = axes.collections[0].get_paths()
        highest = max(path.vertices[:, 1].max() for path in bullish)
        assert highest == pytest.approx(scores["2025-01-05"]["technical"].max())
        with pytest.raises(KeyError, match="Did you mean 'technical'"):
            scores.plot(of="technica")

    def test_an_explanation_adds_up(self, scores: vt.Scores):
        moment = scores.explain("2025-01-05 12:00")
        pushed = sum(bar.get_width() for bar in moment.plot().patches)
        assert 50.0 + pushed == pytest.approx(moment.confluence)

    def test_a_result_is_drawn_on_axes_that_are_given(self, result: PortfolioResult):
        axes = Figure().subplots()
        assert result.plot(ax=axes) is axes
        held, grown = axes.lines[:2]
        assert grown.get_ydata()[-1] == pytest.approx(100.0 * result.metrics["total_return"])
        assert held.get_ydata()[-1] == pytest.approx(100.0 * result.benchmark_metrics["total_return"])

    def test_a_grid_of_two_columns_is_a_heat_map(self, scores: vt.Scores):
        found = vt.sweep(scores, {"bull_enter": [60, 65, 70], "min_coverage": [0.05, 0.1]}, **TERMS)
        axes = found.plot(by="net_return")
        drawn = axes.images[0].get_array()
        assert drawn.shape == (2, 3)
        assert drawn[1, 2] == found.metrics["net_return"][5]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("bull_enter", "min_coverage")
        one = vt.sweep(scores, {"bull_enter": [60, 65, 70]}, **TERMS)
        assert one.plot(by="net_return").lines[0].get_ydata().tolist() == sorted(one.metrics["net_return"].tolist())
        with pytest.raises(ConfigError, match="Did you mean 'sharpe'"):
            found.plot(by="sharp")

    def test_certificates_and_information_are_drawn(self, scores: vt.Scores):
        found = vt.information(scores["2025-01-05":])
        axes = found.plot(horizon="1h")
        rows = found.rows[(found.rows["horizon"] == "1h") & np.isfinite(found.rows["ic"])]
        largest = rows["ic"][np.argsort(-np.abs(rows["ic"]), kind="stable")][:20]
        assert axes.lines[0].get_xdata().tolist() == largest[::-1].tolist()
        findings = [Finding("cut", "rsi", "5m", "holds", 1, 1.0), Finding("cut", "ao", "5m", "BROKEN", 1, 1.0)]
        seen = Certificate("BTCUSDT", "5m", 0, 1, findings, [], 0, "", "", "", {}).plot()
        assert [bar.get_width() for bar in seen.patches] == [1.0, 1.0]

    def test_nothing_is_not_drawn(self, frame: vt.MarketFrame):
        with pytest.raises(ConfigError, match="holds nothing"):
            frame[:0].plot()


@pytest.fixture(autouse=True)
def closed_pictures() -> Iterator[None]:
    yield
    pyplot.close("all")

"""The simulated market: one seed, one market; valid bars; the manners of real ones; files as an archive has them."""

import csv
import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from virtuoso.clock import Env, Timeframe, parse_time
from virtuoso.errors import AmbiguousError, ConfigError
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BRIDGED, TRADED, UNKNOWN, policy_for
from virtuoso.market.resample import fold_bars
from virtuoso.venues.simulator import (
    REGIME_NAMES,
    coin,
    outages,
    regimes,
    simulate,
    stylised_facts,
    write_archive,
)

MINUTE_MS = 60_000
LARGE = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SMALL = "PEBBLEUSDT"
SEED = 7
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
GUIDE = Path(__file__).parents[3] / "docs/guides/simulator.md"


@pytest.fixture(scope="module")
def market():
    return simulate((*LARGE, SMALL), days=60, seed=SEED)


def digest(bars):
    return hashlib.sha256(b"".join(bars[name].tobytes() for name in sorted(bars))).hexdigest()


def returns_of(bars):
    """Log returns of minutes that follow one another; none reaches over an outage."""
    follows = np.diff(bars["open_time"]) == MINUTE_MS
    return np.diff(np.log(bars["close"]))[follows], follows


def balance_of(bars):
    """Taker buying minus selling over volume, -1 to 1; 0 where nothing traded."""
    return 2 * bars["taker_buy_volume"] / np.where(bars["volume"] > 0, bars["volume"], np.inf) - (bars["volume"] > 0)


class TestOneSeedIsOneMarket:
    """The seed alone decides: not the process, the other symbols, or how long the history is."""

    def test_the_same_seed_writes_the_same_bytes(self, tmp_path):
        first = write_archive(tmp_path / "a", simulate(LARGE, days=2, seed=SEED))
        second = write_archive(tmp_path / "b", simulate(LARGE, days=2, seed=SEED))
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]

    def test_another_process_makes_the_same_market(self):
        code = (
            "import hashlib; from virtuoso.venues.simulator import simulate\n"
            "bars = simulate(['ETHUSDT'], 2, 7)['ETHUSDT']\n"
            "print(hashlib.sha256(b''.join(bars[name].tobytes() for name in sorted(bars))).hexdigest())"
        )
        environment = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Asia/Tokyo"}
        answer = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        assert answer.stdout.strip() == digest(simulate(["ETHUSDT"], 2, SEED)["ETHUSDT"])

    def test_another_seed_makes_another_market(self):
        a, b = (simulate(["BTCUSDT"], days=1, seed=seed)["BTCUSDT"] for seed in (7, 8))
        assert (a["close"] != b["close"]).mean() > 0.9

    def test_adding_a_symbol_changes_no_other(self):
        alone = simulate(["ETHUSDT"], days=3, seed=SEED)["ETHUSDT"]
        among = simulate([SMALL, "SOLUSDT", "ETHUSDT", "BTCUSDT"], days=3, seed=SEED)["ETHUSDT"]
        assert digest(alone) == digest(among)

    def test_a_longer_history_begins_with_the_shorter_one(self):
        short, long = (simulate([SMALL], days=days, seed=SEED)[SMALL] for days in (6, 9))
        assert all(np.array_equal(values, long[name][: len(values)]) for name, values in short.items())

    def test_an_env_is_the_same_seam(self):
        by_seed, by_env = simulate([SMALL], 1, SEED)[SMALL], simulate([SMALL], 1, env=Env(seed=SEED))[SMALL]
        assert digest(by_seed) == digest(by_env)

    def test_two_coins_do_not_share_their_own_part(self):
        a, b = simulate(["AAAUSDT", "BBBUSDT"], days=5, seed=SEED).values()
        assert stats.spearmanr(np.diff(a["close"]), np.diff(b["close"])).statistic < 0.9

    def test_both_spellings_of_a_symbol_are_one_coin(self):
        assert digest(simulate(["BTC/USDT:USDT"], 1, SEED)["BTCUSDT"]) == digest(
            simulate(["BTCUSDT"], 1, SEED)["BTCUSDT"]
        )

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            pytest.param({}, "seed=7 or env", id="no seed"),
            pytest.param({"seed": 1, "env": Env(seed=1)}, "seed=7 or env", id="two seeds"),
            pytest.param({"seed": -1}, "0 or more, was -1", id="negative seed"),
            pytest.param({"seed": 1, "days": 0}, "at least 1 day, was 0", id="no days"),
            pytest.param({"seed": 1, "start": "2025-01-01T00:00:30"}, "whole minute", id="half a minute"),
        ],
    )
    def test_impossible_markets_are_refused(self, wrong, words):
        with pytest.raises(ConfigError, match=words):
            simulate(["BTCUSDT"], **{"days": 1, **wrong})

    def test_what_is_not_a_symbol_is_refused(self):
        with pytest.raises(AmbiguousError, match="not a symbol"):
            simulate(["BTC|USDT"], days=1, seed=SEED)


@pytest.mark.parametrize("symbol", [*LARGE, SMALL])
class TestEveryBarIsValid:
    """What the border of the store would quarantine is never made."""

    def test_the_open_and_the_close_lie_between_low_and_high(self, market, symbol):
        bars = market[symbol]
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
        assert (bars["low"] > 0).all()

    def test_every_value_is_finite(self, market, symbol):
        assert all(np.isfinite(values).all() for values in market[symbol].values())

    def test_takers_buy_no_more_than_was_traded(self, market, symbol):
        bars = market[symbol]
        assert (bars["taker_buy_volume"] >= 0).all()
        assert (bars["taker_buy_volume"] <= bars["volume"]).all()
        assert (bars["taker_buy_quote_volume"] <= bars["quote_volume"]).all()

    def test_quote_volume_is_paid_at_prices_of_the_bar(self, market, symbol):
        bars = market[symbol]
        for base, quote in (("volume", "quote_volume"), ("taker_buy_volume", "taker_buy_quote_volume")):
            assert (bars[quote] >= bars["low"] * bars[base] * (1 - 1e-15)).all()
            assert (bars[quote] <= bars["high"] * bars[base] * (1 + 1e-15)).all()

    def test_prices_are_whole_ticks_and_volumes_whole_lots(self, market, symbol):
        tick, lot = 10 ** coin(symbol).tick_decimals, 10 ** coin(symbol).lot_decimals
        for name, unit in (("open", tick), ("high", tick), ("low", tick), ("close", tick), ("volume", lot)):
            values = market[symbol][name]
            assert np.array_equal(np.rint(values * unit) / unit, values)

    def test_every_trade_moves_at_least_one_lot(self, market, symbol):
        bars = market[symbol]
        assert np.array_equal(bars["trades"], np.rint(bars["trades"]))
        assert (np.rint(bars["volume"] * 10 ** coin(symbol).lot_decimals) >= bars["trades"]).all()

    def test_a_bar_has_no_more_prices_than_trades(self, market, symbol):
        bars = market[symbol]
        prices = np.stack([bars[name] for name in ("open", "high", "low", "close")])
        distinct = (np.diff(np.sort(prices, axis=0), axis=0) > 0).sum(axis=0) + 1
        assert (distinct <= np.maximum(bars["trades"], 1)).all()

    def test_minutes_are_on_the_grid_and_in_order(self, market, symbol):
        times = market[symbol]["open_time"]
        assert times.dtype == np.int64
        assert (np.diff(times) >= MINUTE_MS).all()
        assert (times % MINUTE_MS == 0).all()
        assert (times[0], times[-1]) == (parse_time("2025-01-01"), parse_time("2025-03-02") - MINUTE_MS)


class TestASilentMinute:
    """A small coin has minutes without a trade; the venue publishes them flat, with zero volume."""

    def test_happens_to_a_small_coin_now_and_then(self, market):
        assert 0.0002 < (market[SMALL]["trades"] == 0).mean() < 0.05

    def test_hardly_ever_happens_to_a_large_one(self, market):
        assert max((market[symbol]["trades"] == 0).mean() for symbol in LARGE) < 0.0005

    def test_is_flat_at_the_last_close(self, market):
        bars = market[SMALL]
        silent = np.flatnonzero(bars["trades"] == 0)
        for name in ("open", "high", "low", "close"):
            assert np.array_equal(bars[name][silent], bars["close"][silent - 1])
        for name in ("volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"):
            assert (bars[name][silent] == 0).all()


class TestAnOutage:
    """The venue fails once: the same minutes are missing for everyone, and they are declared."""

    def test_leaves_exactly_the_declared_minutes_out(self, market):
        ((begin, end),) = outages(60, seed=SEED)
        everything = np.arange(parse_time("2025-01-01"), parse_time("2025-03-02"), MINUTE_MS)
        for bars in market.values():
            assert np.array_equal(np.setdiff1d(everything, bars["open_time"]), np.arange(begin, end, MINUTE_MS))

    @pytest.mark.parametrize("seed", range(20))
    def test_comes_early_and_is_short(self, seed):
        ((begin, end),) = outages(5, seed=seed)
        assert parse_time("2025-01-02") <= begin < parse_time("2025-01-06")
        assert 12 <= (min(end, parse_time("2025-01-06")) - begin) // MINUTE_MS <= 20 or end > parse_time(
            "2025-01-05T23:40"
        )

    def test_comes_again_in_a_long_history(self):
        assert len(outages(121, seed=SEED)) in (2, 3)

    def test_is_bridged_at_first_and_then_a_gap(self, market):
        bars = market["BTCUSDT"]
        columns = {name: values for name, values in bars.items() if name != "open_time"}
        base = Bars.from_rows(Timeframe("1m"), bars["open_time"], columns, policy_for("simulated", MINUTE_MS))
        ((begin, end),) = outages(60, seed=SEED)
        at = slice(begin // MINUTE_MS - base.first, end // MINUTE_MS - base.first)
        assert list(base.state[at]) == [BRIDGED] * 5 + [UNKNOWN] * ((end - begin) // MINUTE_MS - 5)
        assert (base.state == TRADED).sum() == len(bars["open_time"])

    def test_does_not_cost_a_bar_of_four_hours(self, market):
        bars = market["BTCUSDT"]
        columns = {name: values for name, values in bars.items() if name != "open_time"}
        base = Bars.from_rows(Timeframe("1m"), bars["open_time"], columns, policy_for("simulated", MINUTE_MS))
        assert (fold_bars(base, Timeframe("4h")).state == TRADED).all()
        assert (fold_bars(base, Timeframe("5m")).state == UNKNOWN).any()


@pytest.mark.parametrize("symbol", LARGE)
class TestStylisedFacts:
    """What Cont (2001) found in every market, with pandas and scipy as the judges."""

    def test_returns_have_fat_tails(self, market, symbol):
        assert 5 < stats.kurtosis(returns_of(market[symbol])[0], fisher=False) < 200

    def test_a_minute_has_fat_tails_even_within_its_own_hour(self, market, symbol):
        returns = pd.Series(returns_of(market[symbol])[0])
        surprise = (returns / returns.rolling(60).std().shift()).dropna()
        assert (surprise.abs() > 4).mean() > 0.002  # of normal minutes: 0.0006, since the hour's spread is estimated

    def test_returns_are_hardly_correlated_with_what_follows(self, market, symbol):
        series = pd.Series(returns_of(market[symbol])[0])
        assert max(abs(series.autocorr(lag)) for lag in range(1, 21)) < 0.05

    def test_volatility_clusters_and_is_forgotten_slowly(self, market, symbol):
        size = pd.Series(np.abs(returns_of(market[symbol])[0]))
        memory = [size.autocorr(lag) for lag in range(1, 21)]
        assert min(memory) > 0.1
        assert np.mean(memory[:5]) > np.mean(memory[15:]) > 0.4 * np.mean(memory[:5])
        assert 0.03 < size.autocorr(240) < np.mean(memory[15:])

    def test_volatility_is_about_that_of_the_coin(self, market, symbol):
        daily = returns_of(market[symbol])[0].std() * np.sqrt(1440)
        assert 0.6 < daily / coin(symbol).daily < 1.6

    def test_volume_comes_with_movement(self, market, symbol):
        returns, follows = returns_of(market[symbol])
        volume = market[symbol]["volume"][1:][follows]
        assert 0.3 < np.corrcoef(volume, np.abs(returns))[0, 1] < 0.8
        assert np.corrcoef(volume, market[symbol]["trades"][1:][follows])[0, 1] > 0.7

    def test_takers_go_with_the_price_but_not_always(self, market, symbol):
        returns, follows = returns_of(market[symbol])
        bars = market[symbol]
        balance = balance_of(bars)[1:][follows]
        assert 0.3 < stats.spearmanr(balance, returns).statistic < 0.8
        assert 0.6 < (np.sign(balance) == np.sign(returns)).mean() < 0.9

    def test_takers_do_not_foretell_the_next_minute(self, market, symbol):
        returns, follows = returns_of(market[symbol])
        bars = market[symbol]
        balance = balance_of(bars)[1:][follows]
        assert abs(np.corrcoef(balance[:-1], returns[1:])[0, 1]) < 0.03

    def test_minutes_have_wicks(self, market, symbol):
        bars = market[symbol]
        assert 1.4 < (bars["high"] - bars["low"]).mean() / np.abs(bars["close"] - bars["open"]).mean() < 2.0

    def test_a_bar_opens_about_a_spread_from_the_last_close(self, market, symbol):
        bars, (_, follows) = market[symbol], returns_of(market[symbol])
        busy = follows & (bars["trades"][1:] > 12)
        jump = 1e4 * np.abs(bars["open"][1:] / bars["close"][:-1] - 1)[busy]
        assert np.quantile(jump, 0.5) < 1.5  # basis points
        assert np.quantile(jump, 0.99) < 12.0

    def test_the_library_measures_the_same_as_pandas_and_scipy(self, market, symbol):
        facts = stylised_facts(market[symbol])
        returns = pd.Series(np.diff(np.log(market[symbol]["close"])))
        assert facts["kurtosis"] == pytest.approx(stats.kurtosis(returns, fisher=False))
        assert facts["autocorrelation of |returns|, lag 20"] == pytest.approx(returns.abs().autocorr(20))
        assert facts["daily volatility, %"] == pytest.approx(100 * returns.std(ddof=0) * 1440**0.5)


class TestTheCoinsTogether:
    """One market moves them all, each in its own way."""

    def test_returns_are_correlated_but_not_the_same(self, market):
        table = pd.DataFrame({symbol: np.diff(np.log(market[symbol]["close"])) for symbol in LARGE}).corr().to_numpy()
        pairs = table[np.triu_indices(len(LARGE), 1)]
        assert pairs.min() > 0.3
        assert pairs.max() < 0.95

    def test_they_are_busy_at_the_same_hours(self, market):
        hours = market["BTCUSDT"]["open_time"] // 3_600_000 % 24
        for symbol in LARGE:
            by_hour = pd.Series(market[symbol]["volume"]).groupby(hours).mean()
            assert by_hour[14] > 1.5 * by_hour[4]

    def test_weekends_are_quiet(self, market):
        weekday = (market["BTCUSDT"]["open_time"] // 86_400_000 + 3) % 7
        for symbol in LARGE:
            volume = market[symbol]["volume"]
            assert volume[weekday >= 5].mean() < 0.85 * volume[weekday < 5].mean()


@pytest.fixture(scope="module")
def by_regime():
    """Pooled over three markets: minute returns, and moves over 4 hours that stay in one spell."""
    minutes, moves = {name: [] for name in REGIME_NAMES}, {name: [] for name in REGIME_NAMES}
    for seed in range(3):
        bars = simulate(["BTCUSDT"], days=60, seed=seed)["BTCUSDT"]
        truth = regimes(60, seed=seed)[(bars["open_time"] - bars["open_time"][0]) // MINUTE_MS]
        path = np.log(bars["close"])
        for number, name in enumerate(REGIME_NAMES):
            inside = np.concatenate(([0], np.cumsum(truth == number)))
            starts = np.arange(0, len(path) - 240, 30)
            starts = starts[inside[starts + 241] - inside[starts] == 241]
            minutes[name].append(np.diff(path)[truth[1:] == number])
            moves[name].append(path[starts + 240] - path[starts])
    return {name: (np.concatenate(minutes[name]), np.concatenate(moves[name])) for name in REGIME_NAMES}


class TestRegimes:
    """The truth behind the prices: spells that trend, spells that turn back, spells of turmoil."""

    def test_every_kind_of_spell_occurs(self, by_regime):
        total = sum(len(minutes) for minutes, _ in by_regime.values())
        assert all(len(minutes) > 0.03 * total for minutes, _ in by_regime.values())

    def test_bulls_rise_and_bears_fall(self, by_regime):
        assert by_regime["bull"][0].mean() * 1440 > 0.005
        assert by_regime["bear"][0].mean() * 1440 < -0.005

    def test_turmoil_moves_more_than_a_range(self, by_regime):
        assert by_regime["turbulent"][0].std() > 1.3 * by_regime["range"][0].std()

    def test_a_range_turns_back_where_a_trend_goes_on(self, by_regime):
        ratio = {name: moves.var() / (240 * minutes.var()) for name, (minutes, moves) in by_regime.items()}
        assert ratio["range"] < 0.9
        assert min(ratio["bull"], ratio["bear"]) > 1.0

    def test_spells_last_for_hours(self):
        changes = np.flatnonzero(np.diff(regimes(365, seed=SEED)))
        assert np.diff(changes).min() >= 60
        assert 12 * 60 < np.diff(changes).mean() < 48 * 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory, market):
    home = tmp_path_factory.mktemp("raw")
    write_archive(home, {symbol: market[symbol] for symbol in ("SOLUSDT", SMALL)})
    return home


class TestTheArchive:
    """Files as Binance publishes them, in a folder named simulated."""

    @staticmethod
    def rows(path):
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            assert name == path.with_suffix(".csv").name
            return list(csv.reader(io.TextIOWrapper(archive.open(name))))

    def test_there_is_one_zip_per_coin_and_month(self, folder):
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.zip"))
        assert names == [
            f"simulated/{symbol}-1m-2025-{month}.zip" for symbol in (SMALL, "SOLUSDT") for month in ("01", "02", "03")
        ]

    def test_each_has_the_checksum_of_its_bytes(self, folder):
        zips = list(folder.rglob("*.zip"))
        for path in zips:
            expected, name = path.with_name(path.name + ".CHECKSUM").read_text().split()
            assert (expected, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
        assert len(list(folder.rglob("*.CHECKSUM"))) == len(zips)

    def test_the_header_and_the_times_are_those_of_the_futures_archive(self, folder):
        rows = self.rows(folder / "simulated/SOLUSDT-1m-2025-02.zip")
        assert ",".join(rows[0]) == HEADER
        assert [int(rows[1][0]), int(rows[-1][0])] == [parse_time("2025-02-01"), parse_time("2025-03-01") - MINUTE_MS]
        assert all(int(row[6]) - int(row[0]) == MINUTE_MS - 1 for row in rows[1:])

    @pytest.mark.parametrize("symbol", ["SOLUSDT", SMALL])
    def test_reading_it_back_gives_the_same_bits(self, folder, market, symbol):
        rows = [row for month in "123" for row in self.rows(folder / f"simulated/{symbol}-1m-2025-0{month}.zip")[1:]]
        table = np.array(rows, dtype=np.float64).T
        header = HEADER.replace("count", "trades").split(",")
        for name, column in zip(header, table, strict=True):
            if name not in ("close_time", "ignore"):
                assert np.array_equal(column, market[symbol][name]), name

    def test_a_zip_that_was_moved_still_says_that_it_is_simulated(self, folder):
        with zipfile.ZipFile(folder / f"simulated/{SMALL}-1m-2025-01.zip") as archive:
            assert archive.comment.startswith(b"simulated")

    def test_nothing_in_it_tells_when_it_was_written(self, folder):
        with zipfile.ZipFile(folder / f"simulated/{SMALL}-1m-2025-01.zip") as archive:
            assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


class TestBesideARecording:
    """The simulated bitcoin lies near the recorded one where the guide says so."""

    @pytest.mark.real_data
    def test_the_facts_are_those_of_bitcoin_in_march_2026(self, real_data, market):
        with zipfile.ZipFile(real_data / "raw_archives/BTCUSDT-1m-2026-03.zip") as archive:
            table = np.loadtxt(archive.open(archive.namelist()[0]), delimiter=",").T
        recorded = stylised_facts({"close": table[4], "volume": table[5], "taker_buy_volume": table[9]})
        simulated = stylised_facts(market["BTCUSDT"])
        for name in ("correlation of volume with |return|", "correlation of taker balance with return"):
            assert simulated[name] == pytest.approx(recorded[name], abs=0.12)
        for lag in (1, 5, 20, 60, 240):
            name = f"autocorrelation of |returns|, lag {lag}"
            assert 0.5 * recorded[name] < simulated[name] < 2 * recorded[name]
        assert 0.5 * recorded["kurtosis"] < simulated["kurtosis"] < 2 * recorded["kurtosis"]


class TestTheGuide:
    """The figures of the guide are what its command prints."""

    def test_its_command_prints_its_table(self):
        code, table = re.findall(r"```(?:python|text)\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)[:2]
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout == table

"""The seal on a hold-out: no door of research gives a sealed value, and what is not sealed reads as before."""

import logging
from itertools import count

import numpy as np
import pytest

from tests.archives import env
from tests.builders import columns
from tests.happenings import DAY, MINUTE, START, funding, open_interest, trades
from virtuoso import workflows
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe, iso
from virtuoso.errors import BrokenChainError, SealedError
from virtuoso.lake import seal
from virtuoso.lake.lake import Lake
from virtuoso.lake.read import finer_frames
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.features.builders import BUILDERS
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.columns import BAR_COLUMNS
from virtuoso.research.tracking.holdouts import seal_stretch
from virtuoso.research.validation.ic import information

M1, H4, D1 = Timeframe("1m"), Timeframe("4h"), Timeframe("1d")
PERP, OTHER, ETH = (
    Instrument("binance-usdm", "BTCUSDT"),
    Instrument("bybit-linear", "BTCUSDT"),
    Instrument("binance-usdm", "ETHUSDT"),
)
MADE = Instrument("simulated", "BTCUSDT")
DAYS = 10
SEALED, UNTIL = START + 6 * DAY, START + 8 * DAY
STUDY = count()


def day(n: float) -> str:
    return iso(START + round(n * DAY)).replace(" ", "T")


def dated(n: float) -> str:
    return day(n)[:10].replace("-", "")


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Lake:
    """Ten days of bars and events of two venues, of another symbol and of a simulated market."""
    lake = Lake(tmp_path_factory.mktemp("sealed") / "data" / "lake", env=env())
    made = columns(1, DAYS * 1440, flats=False)
    times = START + np.arange(DAYS * 1440) * MINUTE
    with lake.writing() as writer:
        for instrument in (PERP, OTHER, ETH, MADE):
            writer.add(Batch(instrument, traded_rows(times, made, MINUTE), M1))
        for clock in (H4, D1):
            slow = {name: values[: DAYS * DAY // clock.ms] for name, values in made.items()}
            writer.add(
                Batch(PERP, traded_rows(times[0] + np.arange(DAYS * DAY // clock.ms) * clock.ms, slow, clock.ms), clock)
            )
        for instrument in (PERP, OTHER):
            for n in range(4, DAYS):
                writer.add(Batch(instrument, trades(n, start=START + n * DAY)))
            writer.add(Batch(instrument, open_interest(n=DAYS * 288)))
            writer.add(Batch(instrument, funding(n=DAYS * 3)))
        writer.commit()
    return lake


@pytest.fixture
def project(working_folder):
    """A project in the working folder."""
    (working_folder / "virtuoso.toml").touch()
    seal._told.clear()
    return working_folder


@pytest.fixture
def lake(stored, project) -> Lake:
    """The stored days, read in a project whose study has sealed two of them."""
    seal_stretch("trend", [PERP], SEALED, UNTIL, env=env())
    return Lake(stored.path, env=env())


def closes(lake: Lake) -> set[float]:
    """Sealed prices, none of which may come out of any door."""
    made = columns(1, DAYS * 1440, flats=False)["close"]
    inside = set(made[6 * 1440 : 8 * 1440].tolist())
    return inside - set(made[: 6 * 1440].tolist()) - set(made[8 * 1440 :].tolist())


class TestARangeThatIsNamed:
    """Is refused where it reaches into a seal, and read as before where it does not."""

    @pytest.mark.parametrize(
        ("start", "end"), [(6, 8), (5, 7), (7, 9), (5, 9), (None, 7), (None, 9), (7, None), (6, None), (6.5, 6.6)]
    )
    @pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "4h", "1d"])
    def test_that_overlaps_is_refused(self, lake, start, end, timeframe):
        low, high = (None if n is None else day(n) for n in (start, end))
        with pytest.raises(SealedError, match="sealed from 2024-08-14 00:00:00Z to 2024-08-16 00:00:00Z"):
            lake.frame("BTCUSDT", timeframe, low, high, venue="binance-usdm")
        with pytest.raises(SealedError):
            lake.fingerprint("BTCUSDT", timeframe, low, high, venue="binance-usdm")

    def test_says_by_which_study_and_what_to_do_on_the_command_line(self, lake):
        with pytest.raises(SealedError) as refused:
            lake.frame("BTCUSDT", "1m", day(5), day(7), venue="binance-usdm")
        assert "the hold-out of study 'trend'" in str(refused.value)
        assert f"End the range before it, as with --timerange {dated(0)}-{dated(6)}" in str(refused.value)
        assert f"begin after it, as with --timerange {dated(8)}-" in str(refused.value)
        assert 'virtuoso holdout open trend --because "..."' in str(refused.value)

    def test_says_it_in_words_of_python_to_who_calls_load(self, lake):
        with pytest.raises(SealedError) as refused:
            workflows.load("BTCUSDT", "1m", start=day(5), end=day(7), venue="binance-usdm", data=lake.path.parent)
        assert f"as with start='{day(0)[:10]}', end='{day(6)[:10]}'" in str(refused.value)

    @pytest.mark.parametrize("as_of", [6, 7, 9, 10])
    def test_is_refused_as_it_was_known_at_any_time(self, lake, as_of):
        with pytest.raises(SealedError):
            lake.frame("BTCUSDT", "1m", day(5), day(7), venue="binance-usdm", as_of=day(as_of))

    @pytest.mark.parametrize(("start", "end"), [(None, 6), (2, 6), (0, 3)])
    @pytest.mark.parametrize("timeframe", ["1m", "5m", "4h", "1d"])
    def test_before_it_is_bit_for_bit_what_it_was(self, stored, lake, start, end, timeframe):
        low, high = (None if n is None else day(n) for n in (start, end))
        now = lake.frame("BTCUSDT", timeframe, low, high, venue="binance-usdm")
        with seal.reading_for("live"):
            before = stored.frame("BTCUSDT", timeframe, low, high, venue="binance-usdm")
        assert (now.start, now.stop) == (before.start, before.stop)
        assert now.base.columns.keys() == before.base.columns.keys()
        for name, values in before.base.columns.items():
            np.testing.assert_array_equal(now.base.columns[name], values, err_msg=name)

    @pytest.mark.parametrize("timeframe", ["1m", "5m", "4h", "1d"])
    def test_after_it_remembers_nothing_of_it(self, lake, timeframe):
        frame = lake.frame("BTCUSDT", timeframe, day(8), venue="binance-usdm")
        ms = frame.timeframe.ms
        inside = slice(SEALED // ms - frame.base.first, UNTIL // ms - frame.base.first)
        assert np.isin(frame.base.state[inside], [UNKNOWN, BRIDGED]).all()
        for name in BAR_COLUMNS:
            known = frame.base.columns[name][inside]
            assert closes(lake).isdisjoint(known[np.isfinite(known)].tolist()), name
        assert len(frame) == 2 * DAY // ms

    def test_after_it_nothing_comes_from_bars_that_were_kept_before(self, stored, lake, monkeypatch):
        monkeypatch.setattr("virtuoso.lake.cache.LEAST_ROWS", 1)
        with seal.reading_for("live"):
            stored.frame("BTCUSDT", "1m", venue="binance-usdm")
        assert list((stored.path / "derived" / "bars").rglob("*.columns"))
        frame = lake.frame("BTCUSDT", "1m", day(8), venue="binance-usdm")
        known = frame.base.columns["close"]
        assert closes(lake).isdisjoint(known[np.isfinite(known)].tolist())


class TestAQuestionWithoutAnEnd:
    """Gets the history before the seal, and says so once."""

    @pytest.mark.parametrize("timeframe", ["1m", "5m", "4h", "1d"])
    @pytest.mark.parametrize("start", [None, 1, 5])
    def test_ends_before_it(self, lake, timeframe, start):
        frame = lake.frame("BTCUSDT", timeframe, None if start is None else day(start), venue="binance-usdm")
        assert frame.timeframe.close_time(frame.stop - 1) == SEALED
        assert frame.base.end == frame.stop

    def test_says_so_once(self, lake, caplog):
        with caplog.at_level(logging.WARNING, "virtuoso"):
            for _ in range(3):
                lake.frame("BTCUSDT", "1m", venue="binance-usdm")
        (said,) = caplog.messages
        assert said == (
            "BTCUSDT binance-usdm is given up to 2024-08-14 00:00:00Z: sealed is 2024-08-14 00:00:00Z to "
            "2024-08-16 00:00:00Z, the hold-out of study 'trend'"
        )

    def test_has_nothing_to_give_where_the_seal_begins_with_history(self, stored, project):
        seal_stretch("early", [PERP], START, SEALED)
        with pytest.raises(SealedError, match=f"Begin after it, as with --timerange {dated(6)}-"):
            stored.frame("BTCUSDT", "1m", venue="binance-usdm")
        assert len(stored.frame("BTCUSDT", "1m", day(6), venue="binance-usdm")) == 4 * 1440

    def test_says_nothing_where_no_bar_is_stored_in_it(self, stored, project, caplog):
        seal_stretch("late", [PERP], START + 20 * DAY, START + 30 * DAY)
        with caplog.at_level(logging.WARNING, "virtuoso"):
            assert len(stored.frame("BTCUSDT", "1m", venue="binance-usdm")) == DAYS * 1440
        assert not caplog.messages

    def test_is_cut_at_a_bar_that_closes_before_it(self, stored, project):
        seal_stretch("noon", [PERP], SEALED + DAY // 2, UNTIL)
        frame = stored.frame("BTCUSDT", "1d", venue="binance-usdm")
        assert frame.timeframe.close_time(frame.stop - 1) == SEALED
        assert stored.frame("BTCUSDT", "4h", venue="binance-usdm").stop * H4.ms == SEALED + DAY // 2


class TestWhatIsSealed:
    """A symbol on every venue, for every kind; not another one, and not a simulated market."""

    def test_another_venue_is(self, lake):
        with pytest.raises(SealedError):
            lake.frame("BTCUSDT", "1m", day(5), day(7), venue="bybit-linear")
        assert lake.frame("BTCUSDT", "1m", venue="bybit-linear").stop * MINUTE == SEALED

    def test_another_symbol_is_not(self, lake):
        assert len(lake.frame("ETHUSDT", "1m", day(5), day(9))) == 4 * 1440

    def test_a_simulated_market_is_not(self, lake):
        assert len(lake.frame("BTCUSDT", "1m", day(5), day(9), venue="simulated")) == 4 * 1440

    def test_a_simulated_market_may_be(self, stored, project):
        seal_stretch("demo", [MADE], SEALED, UNTIL)
        with pytest.raises(SealedError):
            stored.frame("BTCUSDT", "1m", day(5), day(9), venue="simulated")
        assert len(stored.frame("BTCUSDT", "1m", day(5), day(9), venue="binance-usdm")) == 4 * 1440

    def test_a_coin_that_is_quoted_by_the_thousand_is(self, project):
        seal_stretch("meme", [Instrument("binance-usdm", "1000SHIBUSDT")], SEALED, UNTIL)
        (one,) = seal.seals_of(project)
        assert one.covers(Instrument("binance-spot", "SHIBUSDT"))
        assert one.covers(Instrument("bybit-linear", "SHIB1000USDT"))
        assert not one.covers(Instrument("binance-spot", "BTCUSDT"))


class TestEvents:
    """Are not there where they became known in a seal, or happened in it."""

    @pytest.mark.parametrize("kind", ["trades", "open_interest", "funding"])
    @pytest.mark.parametrize("instrument", [PERP, OTHER], ids=str)
    def test_of_everything_those_outside_are_given(self, lake, kind, instrument):
        found = lake.events(kind, instrument)
        known = (found.available_at <= SEALED + MINUTE) | (found.available_at > UNTIL)
        assert known.all()
        assert ((found.event_time <= SEALED) | (found.event_time >= UNTIL)).all()
        assert (found.available_at > UNTIL).any()

    @pytest.mark.parametrize("kind", ["trades", "open_interest", "funding"])
    def test_of_a_named_range_they_are_refused(self, lake, kind):
        with pytest.raises(SealedError):
            lake.events(kind, PERP, day(5), day(7))
        with pytest.raises(SealedError):
            lake.events(kind, PERP, day(5), day(7), as_of=day(9))
        assert len(lake.events(kind, PERP, day(4), day(6)))

    def test_that_came_late_are_sealed_by_when_they_happened(self, stored, lake, tmp_path):
        late = Lake(tmp_path / "late", env=env())
        made = open_interest(n=DAYS * 288)
        late_made = type(made)(made.kind, made.event_time, np.full(len(made), START + 9 * DAY), made.columns)
        with late.writing() as writer:
            writer.add(Batch(PERP, late_made))
            writer.commit()
        times = late.events("open_interest", PERP).event_time
        assert len(times) == 8 * 288
        assert ((times < SEALED) | (times >= UNTIL)).all()

    def test_columns_of_a_day_that_were_kept_before_it_was_sealed_are_not_used_after_it(self, stored, project):
        with seal.reading_for("live"):
            stored.frame("BTCUSDT", "1m", venue="binance-usdm")  # keeps columns of every day
        seal_stretch("trend", [PERP], SEALED, UNTIL)
        kept = stored.frame("BTCUSDT", "1m", day(8), venue="binance-usdm")
        for folder in {builder.name for builder in BUILDERS}:
            for path in (stored.path / "derived" / folder).rglob("*.parquet"):
                path.unlink()
        made = stored.frame("BTCUSDT", "1m", day(8), venue="binance-usdm")
        for name, values in made.base.columns.items():
            np.testing.assert_array_equal(kept.base.columns[name], values, err_msg=name)


class TestSQL:
    """Never shows a sealed row, however it is asked."""

    NAMED = (
        "select max(close) from bars where time >= '{6}'",
        "select count(*) from bars where symbol = 'BTCUSDT' and time between '{5}' and '{7}'",
        "select close from bars where open_time >= {sealed} and open_time < {until}",
        "select close from bars where month = '2024-08' and time > '{5}'",
        "select close from bars b where b.time > TIMESTAMP '{6.5}' and close > 0",
        "select * from bars where date_trunc('day', time) = '{7}'",
        "select * from (select * from bars where time > '{7}') where close > 1",
        "with x as (select time, close from bars where time > '{7}') select max(close) from x",
        "select b.close from bars b join trades t on b.time = date_trunc('minute', t.time) where b.time >= '{6}'",
        "select max(price) from trades where time > '{7}'",
        "select max(price) from trades where day = '2024-08-15'",
        "select max(price) from trades where available_at > {sealed} + 600000",
        "select max(funding_rate) from funding where time > '{6.5}'",
        "select close from bars where time > '{5}' or close > 5",
        "select close from _bars where open_time >= {sealed}",
    )

    def asked(self, query: str) -> str:
        words = {str(n): day(n)[:19] for n in (5, 6, 6.5, 7, 8, 9)}
        for name, text in {**words, "sealed": str(SEALED), "until": str(UNTIL)}.items():
            query = query.replace(f"{{{name}}}", text)
        return query

    @pytest.mark.parametrize("query", NAMED)
    def test_a_query_that_names_sealed_time_is_refused(self, lake, query):
        with pytest.raises(
            SealedError, match=r"reaches into what is sealed: BTCUSDT .* of study 'trend'. End it before"
        ):
            lake.sql(self.asked(query))

    @pytest.mark.parametrize(
        "query",
        [
            "select count(*) from bars where time < '{6}'",
            "select count(*) from bars where time >= '{8}'",
            "select count(*) from bars where symbol = 'ETHUSDT' and time > '{6}'",
            "select count(*) from bars where venue = 'simulated' and time > '{6}'",
            "select count(*) from bars where month = '2024-07'",
            "select count(*) from trades where day = '2024-08-13'",
            "select count(*) from bars b join trades t on b.time = t.time where b.time < '{6}'",
        ],
    )
    def test_one_that_does_not_is_answered_as_before(self, stored, lake, query, caplog):
        with seal.reading_for("live"):
            before = stored.sql(self.asked(query))
        with caplog.at_level(logging.WARNING, "virtuoso"):
            assert lake.sql(self.asked(query)).equals(before)
        assert not caplog.messages

    @pytest.mark.parametrize("instrument", [PERP, OTHER], ids=str)
    def test_one_for_everything_is_answered_without_and_says_so(self, lake, instrument, caplog):
        held = f"venue = '{instrument.venue}' and timeframe = '1m' and symbol = 'BTCUSDT'"
        with caplog.at_level(logging.WARNING, "virtuoso"):
            assert lake.sql(f"select count(*) n from bars where {held}").n[0] == 8 * 1440
        assert "the answer is without what is sealed: BTCUSDT from 2024-08-14" in caplog.text

    @pytest.mark.parametrize(
        "query",
        [
            "select close from bars where symbol = 'BTCUSDT' and venue <> 'simulated'",
            "select close from _bars where symbol = 'BTCUSDT' and venue <> 'simulated'",
            "select close from (select * from bars) where symbol = 'BTCUSDT' and venue <> 'simulated' and time > '{6}'",
            "select a.close from bars a join bars b using (symbol, venue, open_time, timeframe) where a.symbol = "
            "'BTCUSDT' and a.venue <> 'simulated'",
            "select close from bars where symbol like 'BTC%' and venue not like 'sim%' order by time desc limit 3000",
        ],
    )
    def test_no_query_gives_a_sealed_price(self, lake, query):
        found = lake.sql(self.asked(query))
        assert len(found) or "time >" in query
        assert closes(lake).isdisjoint(found.close.tolist())

    def test_every_sealed_price_would_come_without_the_seal(self, stored, lake):
        with seal.reading_for("live"):
            found = stored.sql("select close from bars where symbol = 'BTCUSDT' and timeframe = '1m'")
        assert closes(lake) <= set(found.close.tolist())


class TestOtherDoors:
    """Explain, verify, check, finer bars, and frames that came past the gate."""

    def asked(self, lake: Lake, **more):
        return {"venue": "binance-usdm", "data": lake.path.parent, **more}

    def test_explain_is_refused_inside_and_answers_up_to_the_last_close_before(self, lake):
        with pytest.raises(SealedError):
            workflows.explain("BTCUSDT", "5m", day(7), **self.asked(lake))
        assert workflows.explain("BTCUSDT", "5m", day(6), **self.asked(lake)).time == SEALED
        assert workflows.explain("BTCUSDT", "5m", **self.asked(lake)).time == SEALED

    def test_open_interest_is_refused_inside(self, lake):
        with pytest.raises(SealedError):
            workflows.open_interest("BTCUSDT", "5m", day(7), **self.asked(lake))

    def test_finer_bars_of_a_span_are_without(self, lake):
        found = finer_frames(lake, {PERP: (START + 5 * DAY, START + 9 * DAY)}, Timeframe("1h"))
        (frame,) = found.values()
        inside = slice(SEALED // MINUTE - frame.base.first, UNTIL // MINUTE - frame.base.first)
        assert np.isin(frame.base.state[inside], [UNKNOWN, BRIDGED]).all()

    def test_list_and_check_show_what_is_stored(self, lake):
        series = next(one for one in lake.coverage() if (one.venue, one.timeframe) == ("binance-usdm", "1m"))
        assert series.bars == DAYS * 1440
        checked = next(one for one in lake.check() if one.coverage == series)
        assert not [at for at, _ in (*checked.breaks, *checked.misprints) if SEALED <= at < UNTIL]
        assert lake.event_coverage()

    def test_a_frame_that_was_loaded_before_is_not_scored_traded_or_verified(self, stored, project):
        frame = stored.frame("BTCUSDT", "1h", day(1), day(9), venue="binance-usdm")
        scores = workflows.score(frame)
        seal_stretch("trend", [PERP], SEALED, UNTIL)
        terms = {"data": stored.path.parent, "mark": "last", "position": np.ones(len(frame))}
        for asked in (
            lambda: workflows.score(frame),
            lambda: workflows.verify(frame),
            lambda: workflows.issued(scores),
            lambda: information(scores),
            lambda: workflows.backtest(frame, **terms),
            lambda: workflows.backtest(frame, record=False, **terms),
        ):
            with pytest.raises(SealedError):
                asked()
        assert not list(project.glob("experiments/trials/*.json"))
        assert workflows.backtest(frame.within(START + DAY, SEALED), **{**terms, "position": np.ones(5 * 24)}).recording

    def test_live_trading_reads_and_writes_no_result(self, lake):
        with seal.reading_for("live"):
            frame = lake.frame("BTCUSDT", "1h", day(5), day(9), venue="binance-usdm")
            assert len(frame) == 4 * 24
            workflows.score(frame)
            with pytest.raises(SealedError):
                workflows.backtest(frame, position=np.ones(len(frame)), mark="last", data=lake.path.parent)
        with pytest.raises(SealedError):
            lake.frame("BTCUSDT", "1h", day(5), day(9), venue="binance-usdm")


class TestWriters:
    """Go on in a sealed stretch."""

    def test_import_into_it(self, project, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        made = columns(1, DAYS * 1440, flats=False)
        rows = traded_rows(START + np.arange(DAYS * 1440) * MINUTE, made, MINUTE)
        seal_stretch("trend", [PERP], SEALED, UNTIL)
        for part in (slice(0, 7 * 1440), slice(7 * 1440, 9 * 1440), slice(6 * 1440, 10 * 1440)):
            with lake.writing() as writer:
                writer.add(Batch(PERP, rows.take(part), M1))
                writer.commit()
        (series,) = lake.coverage()
        assert (series.bars, series.missing, series.revisions) == (DAYS * 1440, 0, 0)
        assert lake.verify().ok
        lake.remove("BTCUSDT", venue="binance-usdm", since=day(6), until=day(7))
        assert lake.coverage()[0].bars == 9 * 1440
        lake.undo_remove()
        with seal.reading_for("live"):
            np.testing.assert_array_equal(lake.frame("BTCUSDT", "1m").base.columns["close"], made["close"])

    def test_what_is_imported_into_it_changes_no_fingerprint(self, project, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        rows = traded_rows(START + np.arange(DAYS * 1440) * MINUTE, columns(1, DAYS * 1440, flats=False), MINUTE)
        seal_stretch("trend", [PERP], SEALED, START + 20 * DAY)
        digests = set()
        for stop in (6, 8, 10):
            with lake.writing() as writer:
                writer.add(Batch(PERP, rows.take(slice(0, stop * 1440)), M1))
                writer.commit()
            digests.add(lake.fingerprint("BTCUSDT", "1m"))
        assert len(digests) == 1


class TestWhereASealHolds:
    """In the project of the working folder, and in the one that the lake lies in; a broken ledger closes everything."""

    def test_from_a_folder_within(self, lake, project, monkeypatch):
        (project / "notebooks").mkdir()
        monkeypatch.chdir(project / "notebooks")
        with pytest.raises(SealedError):
            lake.frame("BTCUSDT", "1m", day(5), day(7), venue="binance-usdm")

    def test_for_a_lake_within_the_project_from_outside_it(self, stored, project, tmp_path, monkeypatch):
        seal_stretch("trend", [PERP], SEALED, UNTIL)
        (project / "data").mkdir()
        (project / "data" / "lake").symlink_to(stored.path)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SealedError):
            Lake(project / "data" / "lake").frame("BTCUSDT", "1m", day(5), day(7), venue="binance-usdm")

    def test_not_in_another_project(self, lake, tmp_path, monkeypatch):
        (tmp_path / "virtuoso.toml").touch()
        monkeypatch.chdir(tmp_path)
        assert len(lake.frame("BTCUSDT", "1m", day(5), day(7), venue="binance-usdm")) == 2 * 1440

    def test_a_broken_ledger_closes_every_door(self, lake, project):
        ledger = seal.chain_of(project).path
        ledger.write_bytes(ledger.read_bytes()[:-10])
        for asked in (
            lambda: lake.frame("ETHUSDT", "1m"),
            lambda: lake.events("funding", PERP),
            lambda: lake.fingerprint("ETHUSDT", "1m"),
            lambda: lake.sql("select count(*) from bars"),
        ):
            with pytest.raises(BrokenChainError, match="its end is torn or missing"):
                asked()

    def test_reads_the_ledger_again_only_where_it_changed(self, lake, project, monkeypatch):
        lake.frame("ETHUSDT", "4h", day(0), day(2))
        read = []
        monkeypatch.setattr("virtuoso.lake.seal.Chain.links", lambda chain: read.append(1) or ())
        for _ in range(5):
            lake.frame("ETHUSDT", "4h", day(0), day(2))
        assert not read

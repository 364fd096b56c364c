"""Recorded answers of Binance's public REST endpoints, and rules of instruments."""

import gzip
import json

import numpy as np
import pytest

from virtuoso.account.margin import Tiers
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.venues.files.file_io import head_of
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.rest.payloads import read_payloads, recognises
from virtuoso.venues.rest.rules import rules_of

JANUARY = 1_704_067_200_000
NOW = 1_780_000_000_000
MINUTE = 60_000
FUNDING = [{"symbol": "BTCUSDT", "fundingTime": JANUARY, "fundingRate": "0.00010000", "markPrice": "34287.5"}]
RATIO = [{"symbol": "BTCUSDT", "longShortRatio": "1.5", "timestamp": JANUARY}]
TAKER = [{"buySellRatio": "1.25", "buyVol": "5", "sellVol": "4", "timestamp": JANUARY}]
RULES = {
    "exchangeFilters": [],
    "serverTime": JANUARY,
    "symbols": [
        {
            "symbol": "BTCUSDT",
            "contractType": "PERPETUAL",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.002"},
                {"filterType": "MIN_NOTIONAL", "notional": "100"},
            ],
        },
        {"symbol": "BTCUSDT_250926", "contractType": "CURRENT_QUARTER", "filters": []},
        {"symbol": "ETHBTC", "filters": [{"filterType": "NOTIONAL", "minNotional": "0.0001"}]},
    ],
}

BRACKETS = [
    {"symbol": symbol, "brackets": [
        {"bracket": k + 1, "initialLeverage": str(leverage), "notionalFloor": str(floor), "notionalCap": "0",
         "maintMarginRatio": str(rate), "cum": str(cum)}
        for k, (leverage, floor, rate, cum) in enumerate(tiers)
    ]}
    for symbol, tiers in {
        "1000BONKUSDC": [(50, 0, 0.01, 0.0), (25, 5_000, 0.02, 50.0), (20, 50_000, 0.025, 300.0),
                         (10, 600_000, 0.05, 15_300.0), (5, 1_200_000, 0.1, 75_300.0), (4, 3_000_000, 0.125, 150_300.0),
                         (2, 4_000_000, 0.25, 650_300.0), (1, 6_000_000, 0.5, 2_150_300.0)],
        "BTCUSDT_250926": [(50, 0, 0.01, 0.0)],
    }.items()
]  # fmt: skip
"""Tiers as Binance published them, of one perpetual; and of a future that expires."""


def kept(path, body):
    data = json.dumps(body).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def read(path, **options):
    assert recognises(head_of(path))
    return {(raw.kind, raw.symbol): raw for raw in read_payloads(path, ImportOptions(**options), now_ms=NOW)}


def routes(**recorded):
    """Many recorded routes in one file; names of routes are written with two underscores for a slash."""
    return {
        "routes": {
            "/" + name.replace("__", "/"): {"GET": [{"queryString": query, "data": data} for query, data in answers]}
            for name, answers in recorded.items()
        }
    }


class TestAnAnswerKeptAlone:
    """Its endpoint is plain from its fields, or named in the file's name."""

    def test_of_funding(self, tmp_path):
        raw = read(kept(tmp_path / "a.json", FUNDING))["funding", "BTCUSDT"]
        assert (raw.columns["rate"].tolist(), raw.columns["mark"].tolist()) == ([0.0001], [34287.5])
        assert raw.received_at is None

    def test_of_prices(self, tmp_path):
        body = {
            "symbol": "BTCUSDT",
            "markPrice": "100.5",
            "indexPrice": "100.25",
            "lastFundingRate": "0.1",
            "time": JANUARY,
        }
        found = read(kept(tmp_path / "a.json.gz", body))
        assert list(found) == [("prices", "BTCUSDT")]  # a predicted rate is no settlement
        assert found["prices", "BTCUSDT"].columns["index"].tolist() == [100.25]

    def test_of_open_interest(self, tmp_path):
        raw = read(kept(tmp_path / "a.json", {"symbol": "BTCUSDT", "openInterest": "83782.317", "time": JANUARY}))
        assert raw["open_interest", "BTCUSDT"].columns["open_interest"].tolist() == [83782.317]
        assert np.isnan(raw["open_interest", "BTCUSDT"].columns["open_interest_value"]).all()

    def test_of_klines_of_a_price(self, tmp_path):
        row = [JANUARY, "1", "2", "0.5", "1.5", "0", JANUARY + MINUTE - 1, "0", 60, "0", "0", "0"]
        path = kept(tmp_path / "markPriceKlines-BTCUSDT.json", {"routes": {"/fapi/v1/markPriceKlines": {
            "GET": [{"queryString": "symbol=BTCUSDT", "data": [row]}]
        }}})  # fmt: skip
        raw = read(path, venue="binance-usdm")["prices", "BTCUSDT"]
        assert (raw.event_time.tolist(), raw.columns["mark"].tolist()) == ([JANUARY + MINUTE], [1.5])

    @pytest.mark.parametrize(
        ("endpoint", "column"),
        [
            ("globalLongShortAccountRatio", "accounts_ratio"),
            ("topLongShortAccountRatio", "top_accounts_ratio"),
            ("topLongShortPositionRatio", "top_positions_ratio"),
        ],
    )
    def test_of_a_ratio_that_looks_like_two_others(self, tmp_path, endpoint, column):
        rows = [RATIO[0], {**RATIO[0], "timestamp": JANUARY + 5 * MINUTE}]
        raw = read(kept(tmp_path / f"BTCUSDT-{endpoint}.json", rows))["ratios", "BTCUSDT"]
        assert raw.columns[column].tolist() == [1.5, 1.5]
        with pytest.raises(AmbiguousError, match="does not say which endpoint answered it"):
            read(kept(tmp_path / "BTCUSDT.json", rows))

    def test_that_is_damaged_is_an_error(self, tmp_path):
        (tmp_path / "a.json").write_text('{"fundingTime": 1')
        with pytest.raises(UnreadableFileError, match="is damaged"):
            read(tmp_path / "a.json")

    def test_of_other_things_is_left_to_others(self, tmp_path):
        path = kept(tmp_path / "a.json", {"lastUpdateId": 1, "bids": [], "asks": []})
        assert not recognises(head_of(path))


class TestRecordedRoutes:
    """Only those of the wanted market are taken: spot and perpetual share their symbols."""

    def test_of_the_other_market_are_left_out(self, tmp_path):
        body = routes(fapi__v1__fundingRate=[("", FUNDING)], api__v3__exchangeInfo=[("", RULES)])
        assert set(read(kept(tmp_path / "a.json", body), venue="binance-usdm")) == {("funding", "BTCUSDT")}
        assert {kind for kind, _ in read(kept(tmp_path / "a.json", body), venue="binance-spot")} == {"instruments"}

    @pytest.mark.parametrize("venue", [None, "bybit-linear"])
    def test_need_a_venue(self, tmp_path, venue):
        path = kept(tmp_path / "a.json", routes(fapi__v1__fundingRate=[("", FUNDING)]))
        with pytest.raises(AmbiguousError, match="Pass --venue, one of binance-spot, binance-usdm"):
            read(path, venue=venue)

    def test_margined_in_coins_have_no_place(self, tmp_path):
        pair = [{"pair": "BTCUSD", "longShortRatio": "1.5", "timestamp": JANUARY}]
        body = routes(
            fapi__v1__fundingRate=[("", FUNDING)],
            dapi__v1__fundingRate=[("", [{**FUNDING[0], "symbol": "BTCUSD_PERP"}])],
            futures__data__globalLongShortAccountRatio=[("pair=BTCUSD&period=5m", pair)],
        )
        assert set(read(kept(tmp_path / "a.json", body), venue="binance-usdm")) == {("funding", "BTCUSDT")}

    def test_take_the_symbol_of_the_question_where_the_answer_has_none(self, tmp_path):
        body = routes(futures__data__takerlongshortRatio=[("symbol=BTCUSDT&period=5m", TAKER)])
        raw = read(kept(tmp_path / "a.json", body), venue="binance-usdm")["ratios", "BTCUSDT"]
        assert raw.columns["taker_ratio"].tolist() == [1.25]

    def test_of_longer_periods_would_pass_for_five_minutes(self, tmp_path):
        body = routes(futures__data__takerlongshortRatio=[("symbol=BTCUSDT&period=1d", TAKER)])
        with pytest.raises(UnreadableFileError, match="holds no funding"):
            read(kept(tmp_path / "a.json", body), venue="binance-usdm")

    def test_of_periods_count_as_received_a_period_later(self, tmp_path):
        """Whether their stamps are starts or ends was never measured; as starts, nothing leaks."""
        body = routes(futures__data__takerlongshortRatio=[("symbol=BTCUSDT&period=5m", TAKER)])
        raw = read(kept(tmp_path / "a.json", body), venue="binance-usdm")["ratios", "BTCUSDT"]
        assert raw.event_time.tolist() == [JANUARY]
        assert raw.received_at.tolist() == [JANUARY + 6 * MINUTE]

    def test_that_are_errors_have_no_rows(self, tmp_path):
        error = {"code": -2014, "msg": "API-key format invalid."}
        body = routes(fapi__v1__fundingRate=[("", error), ("", None), ("", FUNDING)])
        assert len(read(kept(tmp_path / "a.json", body), venue="binance-usdm")["funding", "BTCUSDT"]) == 1

    def test_set_aside_rows_that_cannot_be_read(self, tmp_path):
        rows = [FUNDING[0], {**FUNDING[0], "fundingRate": "high"}, {"symbol": "BTCUSDT", "fundingRate": "0.1"}]
        raw = read(kept(tmp_path / "a.json", routes(fapi__v1__fundingRate=[("", rows)])), venue="binance-usdm")
        assert [(n, why) for n, why, _ in raw["funding", "BTCUSDT"].rejected] == [
            (2, "not_a_number"),
            (3, "not_a_number"),
        ]


class TestRulesOfInstruments:
    """Steps and least sizes; what the venue does not say is not known."""

    def test_of_a_perpetual(self):
        rules = rules_of(RULES)["BTCUSDT"]
        assert {name: rules[name] for name in ("price_step", "size_step", "min_size", "min_notional")} == {
            "price_step": 0.1, "size_step": 0.002, "min_size": 0.001, "min_notional": 100.0,
        }  # fmt: skip

    def test_do_not_invent_fees_or_steps(self):
        assert np.isnan([rules_of(RULES)["BTCUSDT"]["maker_fee"], rules_of(RULES)["ETHBTC"]["price_step"]]).all()

    def test_of_a_future_that_expires_are_left_out(self):
        assert set(rules_of(RULES)) == {"BTCUSDT", "ETHBTC"}

    def test_are_of_the_moment_of_the_answer(self, tmp_path):
        raw = read(kept(tmp_path / "exchangeInfo.json", RULES))["instruments", "ETHBTC"]
        assert raw.event_time.tolist() == [JANUARY]
        assert raw.columns["min_notional"].tolist() == [0.0001]


class TestMaintenanceTiers:
    """The venue's own table, dated by the file's name, since the answer carries no time."""

    def read(self, tmp_path, name="leverageBracket-2024-01-01.json"):
        return read(kept(tmp_path / name, BRACKETS), venue="binance-usdm")

    def test_are_a_row_each_of_the_day_in_the_name(self, tmp_path):
        found = self.read(tmp_path)
        assert set(found) == {("tiers", "1000BONKUSDC")}
        raw = found["tiers", "1000BONKUSDC"]
        assert raw.event_time.tolist() == [JANUARY] * 8
        assert raw.columns["leverage"].tolist() == [50, 25, 20, 10, 5, 4, 2, 1]

    def test_their_deductions_are_those_that_the_venue_publishes(self, tmp_path):
        columns = self.read(tmp_path)["tiers", "1000BONKUSDC"].columns
        published = [float(tier["cum"]) for tier in BRACKETS[0]["brackets"]]
        assert Tiers.of(columns["floor"], columns["rate"]).deduction.tolist() == pytest.approx(published, abs=1e-6)

    def test_a_file_without_a_day_is_refused(self, tmp_path):
        with pytest.raises(AmbiguousError, match="leverageBracket-2025-07-01"):
            self.read(tmp_path, "brackets.json")


@pytest.mark.real_data
class TestRecordedPayloads:
    """Answers recorded from the live API."""

    def test_of_the_perpetuals(self, real_data):
        path = real_data / "payloads/binance_rest_recorded_gocryptotrader.json.gz"
        found = read(path, venue="binance-usdm")
        assert {kind for kind, _ in found} == {"funding", "instruments", "open_interest", "prices", "ratios"}
        assert len(found["funding", "BTCUSDT"]) == 107
        assert found["instruments", "BTCUSDT"].columns["price_step"].tolist() == [0.1]
        assert np.isfinite(found["ratios", "BTCUSDT"].columns["taker_ratio"]).sum() == 10

    def test_of_spot_are_rules_alone(self, real_data):
        path = real_data / "payloads/binance_rest_recorded_gocryptotrader.json.gz"
        assert {kind for kind, _ in read(path, venue="binance-spot")} == {"instruments"}

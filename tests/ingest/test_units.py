"""What volumes count, judged over a file."""

import numpy as np
import pytest

from virtuoso.errors import AmbiguousError
from virtuoso.ingest.units import Units
from virtuoso.market.rows import Rows, traded_rows

N = 200


def made(volume_times: float = 1.0, *, in_quote: bool = False, inverse: float = 0.0, decimals: int = 3) -> Rows:
    """Bars around 100 whose quote volume is volume times a price inside of them; the volume then in another unit."""
    random = np.random.default_rng(1)
    close = np.round(100 * np.exp(0.01 * random.standard_normal(N).cumsum()), 2)
    low, high = np.round(close * 0.995, 2), np.round(close * 1.005, 2)
    volume = np.round(random.uniform(1, 50, N), decimals)
    quote = np.round(volume * (low + (high - low) * random.random(N)), 8)
    volume = np.round(quote, 2) if in_quote else volume * volume_times
    if inverse:
        volume, quote = np.round(quote / inverse), np.round(quote / inverse) * inverse / close
    columns = {"open": close, "high": high, "low": low, "close": close, "volume": volume, "quote_volume": quote}
    return traded_rows(np.arange(N) * 60_000, columns, 60_000)


def judged(*parts: Rows) -> Units:
    units = Units()
    for rows in parts:
        units.see(rows)
    return units


class TestVolumesThatAgree:
    """Quote volume over volume is a price of the bar, to the digits that are printed."""

    @pytest.mark.parametrize("decimals", [0, 1, 3, 8])
    def test_are_left_alone(self, decimals):
        units = judged(made(decimals=decimals))
        units.conclude("a.csv")
        assert (units.judged, units.outside) == (N, 0)

    def test_may_be_off_in_one_bar_of_a_hundred(self):
        rows = made()
        rows.columns["quote_volume"][:2] *= 3
        judged(rows).conclude("a.csv")
        rows.columns["quote_volume"][2] *= 3
        with pytest.raises(AmbiguousError, match="in 3 of 200 bars"):
            judged(rows).conclude("a.csv")

    def test_are_judged_over_the_whole_file(self):
        wrong, right = made(100).take(slice(0, 5)), made()
        judged(*[right] * 3, wrong).conclude("a.csv")
        with pytest.raises(AmbiguousError):
            judged(right, wrong).conclude("a.csv")

    def test_of_nothing_say_nothing(self):
        rows = made()
        rows.columns["volume"][:] = 0
        units = judged(rows)
        units.conclude("a.csv")
        assert units.judged == 0
        Units().conclude("a.csv")

    def test_of_single_precision_agree(self):
        rows = made()
        columns = {name: values.astype(np.float32).astype(np.float64) for name, values in rows.columns.items()}
        judged(traded_rows(rows.open_time, columns, 60_000)).conclude("a.csv")


class TestVolumesInAnotherUnit:
    """Refuse the file, with the unit that explains it and the options that settle it."""

    @pytest.mark.parametrize(
        ("rows", "unit"),
        [
            (made(100), "the volume seems to count contracts of 0.01 coins"),
            (made(1000), "the volume seems to count contracts of 0.001 coins"),
            (made(1e-3), "the volume seems to count lots of 1000 coins"),
            (made(in_quote=True), "the volume seems to be in quote currency"),
            (made(inverse=100), "the volume seems to count inverse contracts of 100 in quote currency"),
        ],
        ids=["contracts", "small contracts", "lots", "quote", "inverse"],
    )
    def test_is_named(self, rows, unit):
        with pytest.raises(AmbiguousError, match=f"{unit}. Nothing was stored.*--columns volume=.*--no-volume"):
            judged(rows).conclude("a.csv")

    def test_is_named_where_the_two_are_exchanged(self):
        rows = made()
        rows.columns["volume"], rows.columns["quote_volume"] = rows.columns["quote_volume"], rows.columns["volume"]
        with pytest.raises(AmbiguousError, match="seem to be exchanged"):
            judged(rows).conclude("a.csv")

    def test_is_told_of_takers_too(self):
        rows = made()
        rows.columns["taker_buy_volume"] = rows.columns["volume"] / 2
        rows.columns["taker_buy_quote_volume"] = rows.columns["quote_volume"] / 2 / 1000
        with pytest.raises(AmbiguousError, match="in 200 of 200 bars"):
            judged(rows).conclude("a.csv")

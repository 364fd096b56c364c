"""The page of error rates is what its script measured, and a repetition comes to the same."""

import importlib.util
import json
from math import sqrt
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
SPEC = importlib.util.spec_from_file_location("error_rates", GUIDES / "error_rates.py")
assert SPEC is not None
assert SPEC.loader is not None
rates = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(rates)
TABLE = json.loads(rates.TABLE.read_text(encoding="utf-8"))
NOISE = {name: cells["none"] for name, cells in TABLE["noises"].items()}

REPEATED, WITH_SKILL, SEED = 2_000, 500, 11
ERRORS = 3.0
MOST_SHIPPED = 0.01


def agrees(found, told, draws):
    """Whether two measured shares differ by less than so many standard errors of their difference."""
    shared = (found * draws + told * TABLE["draws"]) / (draws + TABLE["draws"])
    error = sqrt(shared * (1.0 - shared) * (1.0 / draws + 1.0 / TABLE["draws"]))
    return abs(found - told) <= ERRORS * error or found == told


class TestThePage:
    """Nobody typed its figures."""

    def test_shows_the_stored_table(self):
        _, line, shown = rates.PAGE.read_text(encoding="utf-8").partition(rates.LINE)
        assert line
        assert shown.strip() == rates.written(TABLE).strip()

    def test_has_every_cell(self):
        assert set(TABLE["noises"]) == set(rates.NOISES)
        for cells in TABLE["noises"].values():
            assert set(cells["none"]) == set(cells["skill"]) == set(rates.STATISTICS)
        assert set(TABLE["kinds"]) == set(rates.KINDS)


class TestTheBounds:
    """What the project promises of itself, of the stored table; each was broken before."""

    def test_overlap_passes_for_skill_in_few_draws(self):
        assert NOISE["overlapping"]["psr_plain"] > 0.20
        assert NOISE["overlapping"]["psr"] <= 0.08

    @pytest.mark.parametrize("noise", ["independent", "autocorrelated", "overlapping", "clustered"])
    def test_noise_is_shipped_in_one_percent(self, noise):
        assert NOISE[noise]["shipped"] <= MOST_SHIPPED
        assert NOISE[noise]["shipped_best"] <= MOST_SHIPPED

    def test_heavy_tails_stay_within_the_error_of_that(self):
        assert NOISE["heavy tails"]["shipped"] <= MOST_SHIPPED + 2.0 * sqrt(MOST_SHIPPED / TABLE["draws"])

    def test_hardly_any_power_is_lost_on_independent_days(self):
        power = TABLE["noises"]["independent"]["skill"]
        assert power["psr_plain"] - power["psr"] <= 0.03

    @pytest.mark.parametrize("kind", list(rates.KINDS))
    def test_no_kind_of_luck_is_shipped_more_often(self, kind):
        assert TABLE["kinds"][kind] <= MOST_SHIPPED


class TestARepetition:
    """Other worlds of the same kinds."""

    @pytest.mark.parametrize("noise", rates.NOISES)
    def test_finds_the_same_false_positives(self, noise):
        found = rates.cell(noise, 0.0, REPEATED, SEED)
        wrong = {what: (share, NOISE[noise][what]) for what, share in found.items()
                 if not agrees(share, NOISE[noise][what], REPEATED)}  # fmt: skip
        assert not wrong

    @pytest.mark.parametrize("noise", rates.NOISES)
    def test_finds_the_same_power(self, noise):
        told = TABLE["noises"][noise]["skill"]
        found = rates.cell(noise, rates.SKILL, WITH_SKILL, SEED)
        assert not {what: (share, told[what]) for what, share in found.items()
                    if not agrees(share, told[what], WITH_SKILL)}  # fmt: skip

    @pytest.mark.parametrize("kind", list(rates.KINDS))
    def test_finds_the_same_of_each_kind(self, kind):
        assert agrees(rates.kind(kind, REPEATED, SEED), TABLE["kinds"][kind], REPEATED)

"""The report of a study: what is on it, from its folder alone, the same bytes each time, marked as simulated."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.research.promotion.folders import NAMES, simulated, write_result
from tests.research.promotion.studies import World
from virtuoso.errors import NoDataError
from virtuoso.reports.study.figures import drawn
from virtuoso.reports.study.page import StudyPage
from virtuoso.reports.study.paper import pdf
from virtuoso.reports.study.write import html, write_study_report
from virtuoso.runs.read import read_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("studies") / "mine" / "result"
    evidence = simulated(World(trials=24), 5)
    evidence = replace(evidence, scenarios={"bull": evidence.walk, "bear": -evidence.walk}, regimes={"calm": 0.1})
    write_result(home, evidence, objectives=2)
    return home


@pytest.fixture(scope="module")
def page(folder):
    return StudyPage(read_study(folder))


@pytest.fixture(scope="module")
def text(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html(page)))


class TestThePage:
    """Verdict first, then everything it rests on."""

    def test_begins_with_the_verdict_and_what_stands_against_it(self, page, text):
        assert page.decision in ("iterate", "discard")
        assert text.index(page.verdict) < text.index("What was asked")
        assert page.reasons == [gate.reason for gate in page.gates if gate.answer in ("failed", "not testable")]
        assert all(re.sub(r"\s+", " ", reason) in text for reason in page.reasons)

    def test_asks_every_question(self, page, text):
        assert len(page.gates) >= 25
        assert all(gate.name in text for gate in page.gates)

    @pytest.mark.parametrize(
        "heading",
        [
            "Walk-forward", "In sample against out of sample", "Plateau or spike", "Pareto front",
            "Parallel coordinates", "Slices", "What matters", "Baselines", "Per scenario", "Per state of the market",
            "Symbols outside the study", "Before you believe it", "Provenance",
        ],
    )  # fmt: skip
    def test_has_all_its_parts(self, text, heading):
        assert heading in text

    def test_says_that_it_is_simulated(self, page):
        made = html(page)
        assert made.count(">simulated<") >= len(drawn(page, 420))
        assert "nobody traded at these prices" in made

    def test_fetches_nothing_and_runs_nothing(self, page):
        made = html(page)
        assert "<script" not in made
        assert "script-src &#39;none&#39;" in made or "script-src 'none'" in made
        assert not re.search(r'(src|href)="https?:', made)

    def test_is_the_same_each_time(self, page):
        assert html(page) == html(page)
        assert pdf(page) == pdf(page)

    def test_a_hostile_name_stays_text(self, folder, page):
        facts = {**page.run.facts, "honesty.json": {**page.facts, "study": "<script>alert(1)</script>"}}
        assert "<script>alert" not in html(StudyPage(replace(page.run, facts=facts)))

    def test_finds_the_name_that_matters(self, page):
        value = page.value()
        planted = replace(page.run, tables={**page.run.tables, "trials.parquet": {
            **page.trials, NAMES[2]: _spread_as(page, value),
        }})  # fmt: skip
        name, share = StudyPage(planted).importance[0]
        assert name == NAMES[2]
        assert share > 0.9


def _spread_as(page, value):
    column = np.asarray(page.trials[NAMES[2]]).copy()
    column[page.final] = value
    return column


class TestThePaper:
    """The same on A4."""

    def test_is_written_beside_the_page(self, folder, tmp_path):
        made = write_study_report(folder, tmp_path)
        assert [file.name for file in made] == ["study.html", "study.pdf"]
        assert made[1].read_bytes().startswith(b"%PDF")

    def test_a_folder_that_is_none(self, tmp_path):
        with pytest.raises(NoDataError, match="not the result of a study"):
            write_study_report(tmp_path)

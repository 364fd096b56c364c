"""The tear sheet: from a run folder alone, honest on its first screen, and saying what it does not know."""

import json
import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.reports.pages import Tree, assert_nothing_is_fetched, drawn
from tests.reports.run_folders import WORDS, run_folder
from virtuoso.errors import NoDataError, UnreadableFileError
from virtuoso.reports.format import MINUS
from virtuoso.reports.tearsheet.html import html, pages
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.pdf import footer, pdf
from virtuoso.reports.tearsheet.write import write_tearsheet
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import PARTS


def sheet_of(folder):
    return TearSheet(read_run(folder))


def text_of(page):
    tree = Tree()
    tree.feed(page)
    return " ".join(" ".join(tree.text).split())


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    return sheet_of(run_folder(tmp_path_factory.mktemp("runs") / "one"))


@pytest.fixture(scope="module")
def page(sheet):
    return html(sheet)


@pytest.fixture(scope="module")
def text(page):
    return text_of(page)


class TestOneFile:
    """Self-contained: no network, no script, every tag closed, every reference led somewhere."""

    def test_every_tag_is_closed_and_nothing_is_fetched(self, page):
        tree = Tree()
        tree.feed(page)
        assert tree.open == []
        assert_nothing_is_fetched(page, tree)

    def test_ids_are_unique_and_references_lead_to_them(self, page):
        tree = Tree()
        tree.feed(page)
        assert len(tree.ids) == len(set(tree.ids))
        wanted = set(re.findall(r'url\(#([^)"]+)\)', drawn(page))) | set(re.findall(r'xlink:href="#([^"]+)"', page))
        assert wanted
        assert wanted <= set(tree.ids)

    def test_light_dark_and_print(self, page):
        assert "prefers-color-scheme: dark" in page
        assert "@media print" in page
        assert not re.search(r'style="[^"]*#0072b2', page), "a chart kept a colour of its own"

    def test_what_a_run_says_is_escaped(self, tmp_path):
        folder = run_folder(tmp_path / "run")
        told = {**WORDS, "verdict": "<script>alert(1)</script>", "assumptions": ["a < b & c"]}
        (folder / "words.json").write_text(json.dumps(told))
        made = sheet_of(folder)
        assert "alert(1)" not in html(made).replace("&lt;script&gt;alert(1)&lt;/script&gt;", "")
        assert pdf(made).startswith(b"%PDF")


class TestTheFirstScreen:
    """Equity, and beside it what is left after everything that was tried."""

    def test_the_honesty_box_comes_before_any_figure(self, page):
        assert page.index("Before you believe it") < page.index("What prices did after each score")
        assert page.index('class="honesty"') < page.index("<h2>Months and years</h2>")

    def test_the_decision_stands_on_it_with_its_reasons(self, text):
        assert "Before you believe it iterate After 1204 tries its Sharpe ratio is real with 61.0 %" in text

    def test_tries_stress_and_trades_are_in_the_box(self, sheet):
        told = {finding.title: finding.value for finding in sheet.honesty}
        assert told["Tries so far"] == "1,204"
        assert told["Costs doubled"] == f"{MINUS}3.1 %"
        assert told["Closed trades"] == "40"

    def test_what_is_not_testable_for_one_reason_is_said_once(self, sheet):
        assert "Overfitting (PBO), walk forward" in [finding.title for finding in sheet.honesty]

    def test_what_a_run_says_before_it_is_judged_is_not_repeated(self, tmp_path):
        folder = run_folder(tmp_path / "run")
        untested = {"title": "Not tested here", "value": "-", "words": "deflated Sharpe: absent"}
        (folder / "words.json").write_text(json.dumps({**WORDS, "honesty": [*WORDS["honesty"], untested]}))
        assert [finding.title for finding in sheet_of(folder).beside] == ["Funding"]

    def test_a_run_that_nobody_judged_says_so(self, tmp_path):
        made = sheet_of(run_folder(tmp_path / "run", without=("honesty.json",)))
        assert made.decision == "not judged"
        assert "absent, not estimated" in html(made)

    def test_a_figure_that_is_null_is_not_testable(self, sheet):
        row = next(row for row in sheet.figures.rows if row[0] == "Sharpe")
        assert row[1:] == ("not testable", "not testable", "1.10")


class TestWhatItShows:
    """Everything that was found, in words and cells that can be checked against the folder."""

    @pytest.mark.parametrize(
        "heading",
        ["Figures", "Optimistic and pessimistic fills", "Compared on the same terms", "Months and years",
         "Worst drawdowns", "Rolling figures", "Trades on price", "What the trades were like",
         "What prices did after each score", "Breakdowns", "Calibration of the reliability", "Diagnostics",
         "What was asked before the verdict", "Assumptions", "Provenance",
         "Monte-Carlo"],
    )  # fmt: skip
    def test_it_has_every_section(self, text, heading):
        assert heading in text

    def test_both_bounds_stand_beside_each_other(self, sheet):
        assert ("Total return", "+5.0 %", "+9.0 %") in sheet.bounds.rows
        assert sheet.bounds_words.startswith("7 trades ended in a bar whose intrabar path nobody recorded.")

    def test_random_entries_are_told_in_words(self, text):
        assert f"made {MINUS}310 to +280 in 95 % of 1,000 draws; these made +500, more than 98 % of them" in text

    def test_the_fans_tell_how_much_is_luck(self, sheet, text):
        assert "Of the histories drawn from its own days, 23.4 % end with a loss" in text
        assert "40 closed trades shuffled 200 times" in text
        assert f"max drawdown {MINUS}11.0 % to {MINUS}2.0 %, middle {MINUS}6.0 %; really {MINUS}5.0 %" in text
        assert sheet.fan_chart(420).height > sheet.fan_chart(1190).height

    def test_too_few_trades_make_no_fan(self, tmp_path):
        folder = run_folder(tmp_path / "run")
        (folder / "fans.json").write_text('{"trades": null, "days": null}')
        assert sheet_of(folder).fan_chart() is None
        assert "Too few trades and days" in text_of(html(sheet_of(folder)))

    def test_a_heuristic_is_called_one(self, text):
        assert "was never fitted to be a probability" in text
        assert "24" not in text[text.index("Of 60 signals") : text.index("touched the first")]

    def test_a_group_without_an_interval_is_not_testable(self, sheet):
        (sides,) = sheet.breakdowns
        assert [(group.name, group.cells[-1]) for group in sides.groups] == [
            ("long", f"{MINUS}0.05 to +0.30"),
            ("short", "not testable"),
        ]

    def test_questions_that_were_not_asked_are_not_failures(self, sheet):
        assert sheet.gates == [("deflated", "failed", "real with 61.0 %"), ("plateau", "not asked", "not tried")]

    def test_the_months_multiply_to_the_return(self, sheet):
        names, (year,) = sheet.monthly
        assert len(names) == len(year["own"]) - 1 == 3
        assert year["own"][-1]["text"] == "+5.0"

    def test_simulated_markets_are_marked_everywhere(self, tmp_path, page):
        made = html(sheet_of(run_folder(tmp_path / "run", simulated=True)))
        assert "simulated market" in made
        assert made.count(">simulated</text>") == made.count('<svg class="chart"')
        assert "Simulated data: nobody traded" in made
        assert "imulated" not in text_of(page)


class TestPartsThatAreNotThere:
    """Older runs lack files: the page is made all the same, and lists them."""

    @pytest.mark.parametrize("name", PARTS)
    def test_each_part_may_be_absent(self, name, tmp_path):
        made = sheet_of(run_folder(tmp_path / "run", without=(name,)))
        assert (name, PARTS[name]) in made.absent
        assert PARTS[name] in text_of(html(made))

    def test_all_of_them_may_be(self, tmp_path):
        made = sheet_of(run_folder(tmp_path / "run", without=tuple(PARTS)))
        text = text_of(html(made))
        assert pdf(made).startswith(b"%PDF")
        assert "40 closed trades: +5.0 % after costs, buy and hold made +12.0 %." in text
        assert "This run folder holds no trades." in text
        assert "as it was written then" in text

    def test_a_whole_run_lists_nothing(self, sheet, text):
        assert sheet.absent == []
        assert "Absent from this run folder" not in text

    def test_a_folder_that_is_none_is_refused(self, tmp_path):
        with pytest.raises(NoDataError, match="There is no folder"):
            read_run(tmp_path / "nowhere")
        with pytest.raises(NoDataError, match=r"holds no metrics\.json"):
            read_run(tmp_path)

    @pytest.mark.parametrize("name", ["words.json", "trades.parquet", "metrics.json"])
    def test_a_damaged_file_is_an_error_and_not_an_absence(self, name, tmp_path):
        folder = run_folder(tmp_path / "run")
        (folder / name).write_bytes(b"{half")
        with pytest.raises(UnreadableFileError, match=name):
            read_run(folder)

    def test_a_run_that_lost_everything_is_drawn(self, tmp_path):
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder = run_folder(tmp_path / "run", without=("trades.parquet",))
        close = pq.read_table(folder / "equity.parquet")["close_time"].to_numpy()
        equity = np.linspace(10_000.0, -50.0, len(close))
        pq.write_table(pa.table({"close_time": close, "equity": equity}), folder / "equity.parquet")
        assert "<svg" in html(sheet_of(folder))


class TestAHeavyPage:
    """A page that would be too heavy is an outline, and a page an instrument with its trades."""

    def test_it_is_split_by_instrument(self, tmp_path, monkeypatch):
        folder = run_folder(tmp_path / "run")
        table = pq.read_table(folder / "trades.parquet")
        at = table.schema.get_field_index("symbol")
        pq.write_table(table.set_column(at, "symbol", pa.array(["BTCUSDT", "ETHUSDT"] * 20)), folder / "trades.parquet")
        monkeypatch.setattr("virtuoso.reports.tearsheet.html.HEAVIEST", 1_000)
        made = pages(sheet_of(folder))
        assert list(made) == ["tearsheet.html", "tearsheet_1.html", "tearsheet_2.html"]
        data = {name: json.loads(re.search(r'id="run-data">(.*?)</script>', text)[1]) for name, text in made.items()}
        assert [of["trades"]["n"] for of in data.values()] == [0, 20, 20]
        assert [[one["symbol"] for one in of["instruments"]] for of in data.values()] == [
            ["BTCUSDT"], ["BTCUSDT"], ["ETHUSDT"]
        ]  # fmt: skip
        assert 'href="tearsheet_2.html">ETHUSDT<' in made["tearsheet.html"]
        assert 'id="trades"' not in made["tearsheet.html"]
        assert 'id="trades"' in made["tearsheet_1.html"]
        assert write_tearsheet(folder, paper=False) == [folder / "tearsheet.html"]
        assert (folder / "tearsheet_2.html").is_file()

    def test_a_light_one_is_one_page(self, sheet):
        assert list(pages(sheet)) == ["tearsheet.html"]


class TestPaper:
    """The same on A4: real text, embedded fonts, numbered pages, the same bytes each time."""

    def test_the_same_run_gives_the_same_bytes(self, tmp_path):
        here, there = (sheet_of(run_folder(tmp_path / name / "run")) for name in "ab")
        assert pdf(here) == pdf(there)
        assert html(here) == html(there)

    def test_fonts_are_embedded_and_no_chart_is_a_picture(self, sheet):
        made = pdf(sheet)
        assert made.count(b"/FontFile2") >= 2
        assert b"/Subtype /Image" not in made

    @pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext here to read the PDF with")
    def test_its_text_can_be_searched(self, sheet, tmp_path):
        (tmp_path / "t.pdf").write_bytes(pdf(sheet))
        done = subprocess.run(
            ["pdftotext", "-layout", str(tmp_path / "t.pdf"), "-"], check=True, capture_output=True, text=True
        )
        words = " ".join(done.stdout.split())
        for wanted in (
            "Before you believe it",
            "iterate",
            "Equity since the start, log axis",
            "Fills are at the next open.",
        ):
            assert wanted in words
        pages = re.findall(r"\b(\d)/(\d)\b", words)
        assert [int(number) for number, _ in pages] == list(range(1, int(pages[0][1]) + 1))

    def test_pages_of_simulated_runs_are_marked(self, tmp_path):
        made = sheet_of(run_folder(tmp_path / "run", simulated=True))
        assert footer(made).startswith("SIMULATED DATA: nobody traded at these prices.")

    def test_both_are_written_beside_the_run_or_elsewhere(self, tmp_path):
        folder = run_folder(tmp_path / "run")
        assert [file.parent for file in write_tearsheet(folder)] == [folder, folder]
        made = write_tearsheet(folder, tmp_path / "out")
        assert [file.name for file in made] == ["tearsheet.html", "tearsheet.pdf"]
        assert made[1].read_bytes() == (folder / "tearsheet.pdf").read_bytes()

"""The contribution table: made once, written for a terminal, for HTML and as plain text."""

import io
import re

import pytest
from rich.console import Console

from tests.reports.explanations import EXPLANATION, SCORE
from virtuoso.errors import ConfigError
from virtuoso.reports.contribution import FOOTNOTE, HEADERS, WIDTH, contribution, contributions, gauge
from virtuoso.reports.format import DASH, MINUS, number, percent, price
from virtuoso.reports.palette import DARK, LIGHT, contrast


def printed(table, **how):
    out = io.StringIO()
    Console(file=out, width=100, highlight=False, **how).print(table.to_rich())
    return out.getvalue()


class TestTheTable:
    """Columns, rows and sums as components.md asks for them."""

    TABLE = contribution(EXPLANATION, "technical")

    def test_title(self):
        assert self.TABLE.title == "BTCUSDT Technical Score Contribution Breakdown"
        assert contribution(EXPLANATION).title == "BTCUSDT Confluence Score Contribution Breakdown"

    def test_columns(self):
        assert HEADERS == ("COMPONENT", "SCORE", "WEIGHT", "IMPACT", "DIV", "GAUGE")

    def test_a_known_row(self):
        assert self.TABLE.lines[0].cells[:5] == ("Relative Strength Index", "71.2", "0.250", "17.80", "+5.2")

    def test_div_is_signed_and_coloured_by_its_effect(self):
        assert [line.div for line in self.TABLE.lines] == ["+5.2", f"{MINUS}3.1", "0.0", DASH]
        assert [line.div_effect for line in self.TABLE.lines] == ["bullish", "bearish", "quiet", "unknown"]

    def test_the_last_row_is_the_final_score_with_the_sum_of_div(self):
        assert self.TABLE.final.cells[:5] == ("FINAL SCORE", number(SCORE, 1), "1.000", number(SCORE, 2), "+2.1")

    def test_the_impacts_sum_to_the_final_score(self):
        impacts = [float(line.impact) for line in self.TABLE.lines if line.impact != DASH]
        assert sum(impacts) == pytest.approx(SCORE, abs=0.02)

    def test_what_is_not_known_shows_a_dash_and_the_reason_never_50(self):
        line = self.TABLE.lines[3]
        assert line.cells == ("MACD", DASH, DASH, DASH, DASH, "warmup (20 of 103 bars)")
        assert "50" not in "".join(line.cells)

    def test_a_face_of_which_nothing_is_known_has_no_final_score(self):
        table = contribution(EXPLANATION, "orderflow")
        assert table.final.score == DASH
        assert table.final.gauge == "nothing is known"

    def test_the_footnote_says_what_div_means(self):
        assert "divergence" in self.TABLE.footnote

    def test_every_table_of_a_moment_the_confluence_first(self):
        assert [table.title.split()[1] for table in contributions(EXPLANATION)] == [
            "Confluence",
            "Technical",
            "Orderflow",
        ]

    def test_an_unknown_face_is_refused_with_the_nearest(self):
        with pytest.raises(ConfigError, match="Did you mean 'technical'"):
            contribution(EXPLANATION, "technicla")


class TestTheGauge:
    """A bar from the middle in three textures: it reads without colour."""

    def test_three_textures_on_their_sides(self):
        assert gauge(75.0, half=4) == "    │▓▓  "
        assert gauge(25.0, half=4) == "  ░░│    "
        assert gauge(52.0, half=4) == "    │▒   "
        assert gauge(48.0, half=4) == "   ▒│    "

    def test_the_ends_and_the_middle(self):
        assert gauge(100.0, half=4) == "    │▓▓▓▓"
        assert gauge(0.0, half=4) == "░░░░│    "
        assert gauge(50.0, half=4) == "    │    "

    @pytest.mark.parametrize("score", [0.0, 12.3, 44.9, 45.0, 50.0, 55.0, 77.7, 100.0, float("nan")])
    def test_it_is_always_as_wide(self, score):
        assert len(gauge(score)) == 25


class TestTheThreeWriters:
    """They say the same."""

    TABLE = contribution(EXPLANATION, "technical")

    def test_text_is_at_most_100_columns_and_without_vertical_rules(self):
        text = self.TABLE.to_text()
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "|" not in text
        assert "┃" not in text
        assert text.splitlines()[3].split() == list(HEADERS)

    def test_the_terminal_shows_every_cell_in_at_most_100_columns(self):
        out = printed(self.TABLE)
        assert max(map(len, out.splitlines())) <= 100
        for line in (*self.TABLE.lines, self.TABLE.final):
            for cell in line.cells:
                assert cell.strip() in out

    def test_the_terminal_uses_the_palette_and_no_color_is_respected(self, monkeypatch):
        monkeypatch.delenv("NO_COLOR", raising=False)
        red, green, blue = (int(LIGHT.bullish[k : k + 2], 16) for k in (1, 3, 5))
        assert f"38;2;{red};{green};{blue}" in printed(self.TABLE, force_terminal=True, color_system="truecolor")
        monkeypatch.setenv("NO_COLOR", "1")
        assert "38;2" not in printed(self.TABLE, force_terminal=True, color_system="truecolor")

    def test_html_escapes_and_shows_every_cell(self):
        html = str(self.TABLE.to_html())
        assert "AO &lt;down&gt; &amp; out" in html
        assert "<down>" not in html
        for line in self.TABLE.lines:
            for cell in line.cells[:5]:
                assert f">{cell}<" in html
        assert "warmup (20 of 103 bars)" in html

    def test_the_gauge_in_html_stands_where_the_score_is(self):
        places = re.findall(r"left: ([\d.]+)%; width: ([\d.]+)%", str(self.TABLE.to_html()))
        assert places[0] == ("50.0", "21.2")
        assert places[1] == ("30.0", "20.0")
        assert places[2] == ("50.0", "0.0")

    def test_a_series_of_tables_needs_the_footnote_once(self):
        assert FOOTNOTE[:40] in self.TABLE.to_text()
        assert FOOTNOTE[:40] not in self.TABLE.to_text(footnote=False)
        assert "footnote" not in str(self.TABLE.to_html(footnote=False))

    def test_E76_a_symbol_cannot_smuggle_markup(self):
        from dataclasses import replace

        nasty = replace(EXPLANATION, symbol="<script>alert(1)</script>[bold]")
        html = str(contribution(nasty).to_html())
        assert "<script>" not in html
        assert "[bold]" in printed(contribution(nasty))


class TestNumbers:
    """A sign where there is a direction, a dash where nothing is known."""

    def test_numbers(self):
        assert number(1234.5) == "1,234.50"
        assert number(-0.004) == "0.00"
        assert number(-3.25, 1, signed=True) == f"{MINUS}3.2"
        assert percent(0.1234, signed=True) == "+12.3 %"
        assert number(float("nan")) == percent(float("nan")) == price(float("nan")) == DASH

    def test_prices_show_the_digits_that_matter(self):
        assert [price(x) for x in (64_250.5, 100.0, 0.98765, 0.00001234)] == [
            "64,250.5",
            "100",
            "0.98765",
            "0.00001234",
        ]


class TestThePalette:
    """Text needs a contrast of at least 4.5 : 1."""

    @pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
    @pytest.mark.parametrize("name", ["ink", "quiet", "bullish", "bearish_ink"])
    def test_contrast(self, palette, name):
        for ground in (palette.paper, palette.panel):
            assert contrast(getattr(palette, name), ground) >= 4.5

    def test_contrast_of_black_on_white_is_21(self):
        assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)

    def test_the_colours_of_the_house(self):
        assert (LIGHT.bullish, LIGHT.bearish, DARK.bullish, DARK.bearish) == (
            "#0072B2",
            "#D55E00",
            "#58A6D6",
            "#F0883E",
        )

"""A page, parsed: what tests look for in HTML."""

import re
from html.parser import HTMLParser

from virtuoso.reports.tearsheet.html import html
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.runs.read import read_run

VOID = {"meta", "br", "input", "img", "hr", "link"}


class Tree(HTMLParser):
    """Collects tags, ids and text, and notices what is not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def page_of(result, folder):
    """The tear sheet of a result, by way of its run folder."""
    return html(TearSheet(read_run(result.save(folder / "run"))))


def drawn(page):
    """The page without its scripts: what is on it whether they run or not."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def assert_nothing_is_fetched(page, tree):
    """No element leads out of the page but the link that the licence of the charts asks for."""
    for tag, attributes in tree.tags:
        assert tag not in {"link", "iframe", "object", "img"}
        assert not [name for name in attributes if name.startswith("on")], "a handler in the page"
        if tag == "a":
            assert attributes["href"] == "https://www.tradingview.com/"
            continue
        for name in ("src", "href", "xlink:href", "data"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in drawn(page)
    assert not re.search(r"url\((?!#)", drawn(page))

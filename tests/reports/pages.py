"""A page, parsed: what tests look for in HTML."""

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
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def page_of(result, folder):
    """The tear sheet of a result, by way of its run folder."""
    return html(TearSheet(read_run(result.save(folder / "run"))))

"""The documents are true: what they show runs and prints what they say, and every link leads somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.markets import record_once
from tests.pages import FENCE, PAGES, Block, agrees, blocks, forget_runs, make_market, name_of, renewed, runner
from virtuoso.venues import simulator

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ROOT = Path(__file__).resolve().parents[1]
GIT = shutil.which("git") is not None
FOR_NEWCOMERS = (ROOT / "README.md", ROOT / "docs" / "guides" / "tutorial.md")
WITH_CODE = [page for page in PAGES if any(blocks(page.read_text(encoding="utf-8")))]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the market of `virtuoso demo` below it."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "record", record_once())  # the guide of the simulator records this very market
        make_market(folder)
        if GIT:
            shutil.copy(ROOT / ".gitignore", folder)
            subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        yield folder


def seen_by_git(folder: Path) -> set[str]:
    """What `git status` shows of a folder: files that are neither kept nor left out."""
    told = ["git", "status", "--porcelain", "--untracked-files=all"]
    return set(subprocess.run(told, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines())


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_what_a_page_shows_runs_and_prints_what_the_page_says(page, market, monkeypatch):
    monkeypatch.chdir(market)
    monkeypatch.syspath_prepend(str(market))
    monkeypatch.setenv("COLUMNS", "100")
    forget_runs(market)
    before = seen_by_git(market) if GIT and page in FOR_NEWCOMERS else set()
    run = runner(page)
    for block in blocks(page.read_text(encoding="utf-8")):
        printed = run(block)
        if block.shown is not None and not agrees(block.shown, printed):
            pytest.fail(
                f"{name_of(page)}, line {block.line}, does not show what is printed now. If that is right, run "
                f"python -m tests.pages {name_of(page)}\n--- shown\n" + "\n".join(block.shown) + f"\n--- now\n{printed}"
            )

    if GIT and page in FOR_NEWCOMERS:  # a clone that was only tried out has nothing to commit
        assert seen_by_git(market) == before


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    inside = [link.split("#")[0] for link in LINK.findall(text) if "://" not in link and not link.startswith("#")]
    missing = [link for link in inside if not (page.parent / link).exists()]
    assert not missing, f"{name_of(page)} links to {', '.join(missing)}"


class TestReadingAPage:
    """The test of the pages is itself tested: what it does not see, it cannot refuse."""

    TEXT = (
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx = 2\n```\nwords\n```text\n2\n```\n"
        "```console\n$ make test\n$ virtuoso demo\n$ virtuoso data list   # what there is\nfirst\n…\nlast\n```\n"
    )

    def test_finds_code_with_what_it_prints_and_commands_with_their_output(self):
        assert [(b.line, b.kind, b.source, b.shown) for b in blocks(self.TEXT)] == [
            (2, "python", "print(1)\n", ["1"]),
            (10, "python", "x = 2\n", None),
            (17, "console", "virtuoso data list   # what there is", ["first", "…", "last"]),
        ]

    def test_knows_where_the_output_stands(self):
        assert [self.TEXT[slice(*b.span)] for b in blocks(self.TEXT) if b.shown] == ["1\n", "first\n…\nlast\n"]

    def test_runs_blocks_in_one_namespace(self):
        run = runner(PAGES[0])
        assert run(Block(1, "python", "x = 2", None, (0, 0))) == ""
        assert run(Block(2, "python", "print(x + 1)", None, (0, 0))) == "3"

    def test_forgives_what_passes_and_left_out_lines_and_nothing_else(self):
        assert agrees(["took 1.2 s", "…", "end"], "took 33.0 s\na\nb\nend")
        run, signal = "wrote runs/btc_5m_0123456789", "show 61de4002c75d129fb7bf12b8"
        assert agrees([run, signal], "wrote runs/btc_5m_abcdef0123\nshow 0000000000000000000000aa")
        assert not agrees(["took 1.2 s", "end"], "took 33.0 s\na\nend")
        assert not agrees(["confluence 41.2"], "confluence 41.3")

    def test_renews_the_same_lines(self):
        assert renewed(["a", "…", "y", "z"], "1\n2\n3\n4\n5") == "1\n…\n4\n5\n"
        assert renewed(["a"], "1\n2") == "1\n2\n"

"""The blocks of the documents: what they hold, and what running them prints.

1. A `python` block is run. A `text` block that directly follows it is what it prints.
2. In a `console` block, lines that begin with `$ virtuoso` are run and the lines below each are what it prints; a line
   of … stands for any number of lines. Other commands, and `virtuoso demo`, are not run here.
3. Blocks of a page run in order, in one namespace, in a folder that holds the market of `virtuoso demo`.

After a change that pages show, `python -m tests.pages` writes what is printed now into all of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.demo import market
from virtuoso.demo.journal import Journal

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob(".github/*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSING = re.compile(
    r"\d+(?:\.\d+)? (?:s|ms)\b|(?<=_)[0-9a-f]{10}(?=/|$)|\b[0-9a-f]{24,64}\b|\b\d+ (?:try|tries)\b", re.MULTILINE
)
"""What differs from run to run, and with every line of code: durations, digests of code in names and provenance, how
often the market of the pages was tried."""
ELISION = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """Something to run, and what it is said to print.

    Attributes
    ----------
    line : int
        Where it stands in its page.
    kind : 'python' or 'console'
    source : str
        Code, or a command line.
    shown : list of str, or None
        Lines it is said to print, None where the page does not say.
    span : tuple of int
        Where the shown lines stand in the text of the page.
    """

    line: int
    kind: str
    source: str
    shown: list[str] | None
    span: tuple[int, int]


def name_of(page: Path) -> str:
    """Return the name of a page, from the top of the checkout."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """Yield everything that a page gives to run, in order."""
    fences = list(FENCE.finditer(text))
    for fence, following in zip_longest(fences, fences[1:]):
        line = text.count("\n", 0, fence.start()) + 2
        if fence[1] == "python":
            said = following is not None and following[1] == "text"
            if said and not text[fence.end() : following.start()].strip():
                yield Block(line, "python", fence[2], following[2].splitlines(), following.span(2))
            else:
                yield Block(line, "python", fence[2], None, (0, 0))
        elif fence[1] == "console":
            for command in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", fence[2], re.MULTILINE):
                if command[1].startswith("virtuoso ") and not command[1].startswith("virtuoso demo"):
                    start = fence.start(2) + command.start(2)
                    shown = command[2].splitlines() or None
                    yield Block(line, "console", command[1], shown, (start, start + len(command[2])))


def runner(page: Path) -> Callable[[Block], str]:
    """Return a function that runs the blocks of a page, in order, in the working directory."""
    module = sys.modules["page"] = ModuleType("page")

    def run(block: Block) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if block.kind == "python":
                code = compile("\n" * (block.line - 1) + block.source, name_of(page), "exec", dont_inherit=True)
                exec(code, vars(module))
            else:
                exit_code = main(shlex.split(block.source, comments=True)[1:])
                assert exit_code == 0, f"{name_of(page)}, line {block.line}: {block.source} ended with {exit_code}"
        return printed.getvalue().rstrip()

    return run


def agrees(shown: list[str], printed: str) -> bool:
    """Whether something printed is what a page shows, what passes and left-out lines apart."""
    lines = [re.escape(PASSING.sub("#", line.rstrip())) + "\n" for line in shown]
    pattern = "".join("(?:.*\n)*?" if line == re.escape(ELISION) + "\n" else line for line in lines)
    text = "\n".join(line.rstrip() for line in PASSING.sub("#", printed).splitlines()) + "\n"
    return re.fullmatch(pattern, text) is not None


def renewed(shown: list[str], printed: str) -> str:
    """Return what is printed now, with as many lines left out in the same place."""
    lines = [line.rstrip() for line in printed.splitlines()]
    if ELISION in shown:
        head = shown.index(ELISION)
        tail = len(shown) - head - 1
        lines = [*lines[:head], ELISION, *lines[len(lines) - tail :]]
    return "".join(f"{line}\n" for line in lines)


def make_market(folder: Path) -> None:
    """Put the market of the demo below a folder, which is a project of its own."""
    (folder / "virtuoso.toml").touch()
    root = folder / "data" / "simulated"
    journal = Journal(say=lambda text: None)
    market.simulate(root, market.DAYS, market.SEED, journal)
    market.collect(root, Settings.load(root=folder), journal)


def forget_runs(folder: Path) -> None:
    """Forget what other pages ran in the project: a reader who begins with a page has tried nothing yet."""
    for name in ("experiments", "reports"):
        shutil.rmtree(folder / name, ignore_errors=True)


def renew(page: Path) -> bool:
    """Write into a page what its blocks print now; whether that changed it."""
    before = text = page.read_text(encoding="utf-8")
    run, edits = runner(page), []
    for block in blocks(text):
        printed = run(block)
        if block.shown is not None:
            edits.append((block.span, renewed(block.shown, printed)))
    for (start, end), fresh in reversed(edits):
        text = text[:start] + fresh + text[end:]
    page.write_text(text, encoding="utf-8")
    return text != before


if __name__ == "__main__":
    chosen = [Path(argument).resolve() for argument in sys.argv[1:]] or PAGES
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        os.environ["COLUMNS"] = "100"
        sys.path.insert(0, home)
        make_market(Path(home))
        for page in chosen:
            forget_runs(Path(home))
            if renew(page):
                print(f"{name_of(page)} has changed")

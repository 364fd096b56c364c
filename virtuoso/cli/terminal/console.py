"""The terminal: 100 columns, tables without vertical lines, colour only where it means direction.

Rich drops colours by itself where NO_COLOR is set or stdout is a pipe. Numbers are right-aligned; what is not known is
a dash.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import (
    Console,
    ConsoleOptions,
    ConsoleRenderable,
    Group,
    RenderableType,
    RenderHook,
    RenderResult,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from virtuoso.clock import iso
from virtuoso.errors import printable
from virtuoso.reports.format import number

if TYPE_CHECKING:
    from virtuoso.types import Progress

WIDTH = 100
_UNITS = ("B", "kB", "MB", "GB", "TB")


class PipeConsole(Console):
    """A console that says when its reader is gone, and writes out control characters in names and values.

    Its own colours are no part of the text, so they still work.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.push_render_hook(_Harmless())

    def on_broken_pipe(self) -> None:
        """Leave it to the command."""
        raise BrokenPipeError


class _Harmless(RenderHook):
    """Writes out control characters in what is printed: a name from a file may hold any."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wrap each part."""
        return [_Written(part) for part in renderables]


class _Written:
    """A part of an answer whose text holds no control characters but line ends."""

    def __init__(self, part: ConsoleRenderable) -> None:
        self._part = part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._part, options):
            control = segment.control
            yield segment if control else Segment(printable(segment.text, len(segment.text)), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console of 100 columns, or of the terminal where that is narrower."""
    stream = sys.stderr if stderr else sys.stdout
    made = PipeConsole(file=stream, highlight=False, emoji=False, markup=False, soft_wrap=False)
    made.width = min(made.width, WIDTH) if stream.isatty() else WIDTH
    return made


def show(parts: Iterable[RenderableType], next_command: str = "") -> None:
    """Print an answer and the next useful command."""
    out = console()
    for part in parts:
        out.print(part, soft_wrap=isinstance(part, str))
    if next_command:
        out.print(f"\nnext: {next_command}", soft_wrap=True)


def table(headers: Sequence[str], rows: Iterable[Sequence[str | Text]], left: int | Collection[int] = 1) -> Table:
    """Set a table: words to the left, numbers to the right.

    Parameters
    ----------
    headers : sequence of str
        With their unit, written in capitals.
    rows : iterable of cells
    left : int or collection of int
        How many columns, or which, are words.
    """
    from rich import box

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    words = range(left) if isinstance(left, int) else left
    for position, header in enumerate(headers):
        is_word = position in words
        made.add_column(header, justify="left" if is_word else "right", no_wrap=not is_word, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def pairs(facts: Iterable[tuple[str, str]]) -> RenderableType:
    """Set names and values in two columns."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts:
        made.add_row(name, Text(value))
    return made


def prose(text: str, indent: int = 0) -> str:
    """Break a sentence into lines that fit; what continues it stands a little to the right."""
    import textwrap

    lead = " " * indent
    return "\n".join(textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=f"{lead}  "))


def heading(text: str) -> RenderableType:
    """Begin a part of an answer."""
    return Group(Text(), Text(text, style="bold"))


def leaning(text: str, score: float) -> Text:
    """Write a score in the colour of its direction."""
    from virtuoso.prism.words import lean
    from virtuoso.reports.palette import LIGHT

    colour = {"bullish": LIGHT.bullish, "bearish": LIGHT.bearish, "unknown": "dim"}.get(lean(score), "")
    return Text(text, style=colour)


def size(count: int) -> str:
    """Write bytes as `46.2 MB`."""
    value, unit = float(count), 0
    while value >= 1000.0 and unit < len(_UNITS) - 1:
        value, unit = value / 1000.0, unit + 1
    return f"{number(value, 0 if unit == 0 else 1)} {_UNITS[unit]}"


def seconds(duration: float) -> str:
    """Write a duration as `0.04 s`, `4.1 s` or `3 min 05 s`."""
    if duration < 1.0:
        return f"{duration:.2f} s"
    return f"{duration:.1f} s" if duration < 60.0 else f"{int(duration // 60)} min {int(duration % 60):02d} s"


def moment(time_ms: int) -> str:
    """Write a moment without what is zero in it: `2019-01-01Z`, `2025-10-10 21:15Z`."""
    return iso(time_ms).removesuffix(":00Z").removesuffix("Z").removesuffix(" 00:00") + "Z"


def day(time_ms: int) -> str:
    """Write the day of a moment: `2019-01-01`."""
    return iso(time_ms)[:10]


def stretch(start_ms: int, end_ms: int) -> str:
    """Write from when to when."""
    return f"{moment(start_ms)} to {moment(end_ms)}"


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """Show a bar with rate and time left on stderr; it disappears when the work is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def tick(name: str, done: int, total: int) -> None:
            progress.update(task, description=f"{what} {name}"[:44], completed=done, total=total)

        yield tick

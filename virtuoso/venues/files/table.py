"""The reader of tables: bytes in, named columns out, from CSV, gzip, zip and Parquet alike, whatever they hold.

1. `tables` checks the bytes, unpacks them and asks the decoder's layout how the columns are named, from the first lines
   of a text, or from the column names of a Parquet file as the only line. It gives the rows part by part, so that a
   file of any size fits; what spans parts is the decoders' work (`in_whole_groups`, and their own counters).
2. A column stays as the file has it until a decoder asks for numbers, times, words, ids or symbols.
3. What cannot be read is never guessed: lines with too few or too many fields are set aside as `broken`, and each
   column says which of its values are `garbled`.
4. `raw_events` and `events_by_symbol` make events of the rows. What the columns mean is the decoders' work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.symbols import read_symbol, refusal
from virtuoso.errors import AmbiguousError, UnknownContentError, UnreadableFileError
from virtuoso.types import Mask, Times
from virtuoso.venues.files.file_io import (
    HEAD_BYTES,
    READABLE,
    Head,
    checked_digest,
    decoding,
    is_feather,
    is_json,
    is_parquet,
    is_simulated,
    is_table,
    unpacked,
)
from virtuoso.venues.files.json_rows import as_text, json_rows
from virtuoso.venues.files.lines import MOST_BROKEN, STRETCH_BYTES, SortedOut, sorted_out, stretches
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import INTEGER_TEXT, NUMBER_TEXT, FileTimes, in_form, read_times
from virtuoso.venues.raw_events import Counted, Lines, RawEvents, Rejected

Fields = Sequence[str]
Symbols = tuple[Sequence[str | None], NDArray[np.int64]]
"""Symbols as a file writes them, and the position of each row's; -1 where it names none."""

NO_ID = -1
_AT_ONCE = 4_096  # rows shown; a file of nothing but errors may be large
HEAD_LINES = 5  # a recorder may have written garbage into the first line
DELIMITERS = ("\t", ";", "|", ",")
MOST_ROWS = 200_000
"""Rows of Parquet that make a part."""
MOST_HELD = 1_000_000
"""Rows that wait for the rest of their group."""
_FEW_ROWS = 64
_BUFFER_BYTES = 1 << 20
_LEADING_NUMBER = re.compile(r"-?[\d.]+")
_NAMES_NO_NUMBER = r"(?i)^[+-]?(nan|inf|infinity)$"
_NO_VALUE = r"(?i)^(|null|none|na|n/a|-)$"


class Layout(NamedTuple):
    """How the columns of a table are named.

    Attributes
    ----------
    names : tuple of str
        Of all columns, in the order of the file.
    header : bool
        Whether the first line names them.
    renamed : bool
        Whether these are our names. A row is then shown by its values alone, else as JSON under the file's names.
    wanted : tuple of str
        Those that are read of a Parquet file; all if empty.
    above : int
        How many of the first lines, blank ones not counted, say something else and are no rows, such as an address
        above the header, or further lines of it. The header comes after them, or before them: all are passed over.
    """

    names: tuple[str, ...]
    header: bool
    renamed: bool = True
    wanted: tuple[str, ...] = ()
    above: int = 0


LayoutOf = Callable[[Sequence[Fields]], Layout | str]
"""The layout of a table from the fields of its first lines, or the reason why it is none of those that are known."""


class Column(NamedTuple):
    """Values of a column, and which of them are something else than they should be; shape (n_rows,) each."""

    values: NDArray[Any]
    garbled: Mask


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a file, in its order: some of them, or all of a small one.

    Attributes
    ----------
    path : Path
    sha256 : str
        Of the file's bytes as they lie there.
    data : pyarrow.Table
        Under the names of the layout.
    rows : array of int64, shape (n_rows,)
        Number of each row in the file, from 1; a header row counts.
    broken : tuple of (int, str)
        Lines that have too few or too many fields.
    simulated : bool
        Whether the file says that the simulator made it.
    renamed : bool
        See `Layout`.
    lines : Lines
        What was read of the file for them, broken and blank lines included.
    known : dict of str to str
        What earlier parts have shown of a column, such as the unit of its times; shared by all parts of a file.
    """

    path: Path
    sha256: str
    data: Any
    rows: Times
    broken: tuple[tuple[int, str], ...]
    simulated: bool
    renamed: bool
    lines: Lines
    known: dict[str, str]

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def slice(self, start: int, end: int) -> Table:
        """Return some of the rows, and all that was read with them."""
        return replace(self, data=self.data.slice(start, end - start), rows=self.rows[start:end])

    def then(self, following: Table) -> Table:
        """Return the rows of two parts that follow each other."""
        import pyarrow as pa

        return replace(
            self,
            data=pa.concat_tables([self.data, following.data]),
            rows=np.concatenate([self.rows, following.rows]),
            broken=(*self.broken, *following.broken),
            lines=self.lines.plus(following.lines),
        )

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self.data.column_names)

    def numbers(self, name: str) -> Column:
        """Return a column of numbers; NaN where there is none, or no such column."""
        if name not in self:
            return Column(np.full(len(self), np.nan), np.zeros(len(self), dtype=bool))
        return to_numbers(self.data[name])

    def ids(self, name: str) -> Column:
        """Return a column of whole numbers from 0 to 2^63 - 1, others garbled; NO_ID where nothing stands.

        It is NO_ID throughout where most of the first part are something else, such as words.
        """
        if name not in self:
            return Column(np.full(len(self), NO_ID, dtype=np.int64), np.zeros(len(self), dtype=bool))
        values, garbled = to_ids(self.data[name])
        kind = self.known.setdefault(f"{name}: kind", "words" if 2 * garbled.sum() > len(self) else "numbers")
        if kind == "words":
            return Column(np.full(len(self), NO_ID, dtype=np.int64), np.zeros(len(self), dtype=bool))
        return Column(values, garbled)

    def words(self, name: str, meaning: Mapping[str, int]) -> Column:
        """Return a column of words as numbers, whatever their case; 0 where nothing stands."""
        import pyarrow.compute as pc

        coded = pc.utf8_lower(trimmed(self.data[name])).combine_chunks().dictionary_encode()
        words = [str(word) for word in coded.dictionary.to_pylist()]
        known = {**meaning, "": 0}
        at = coded.indices.to_numpy()
        values = np.array([known.get(word, 0) for word in words] or [0], dtype=np.int8)[at]
        return Column(values, np.array([word not in known for word in words] or [False])[at])

    def times(self, name: str, options: ImportOptions, now_ms: int, zone: str | None = None) -> FileTimes:
        """Return a column of times; those without an offset are in `zone` where the source is known to write it."""
        return self.times_of(self.data[name], name, options, now_ms, zone)

    def times_of(
        self, column: Any, name: str, options: ImportOptions, now_ms: int, zone: str | None = None
    ) -> FileTimes:
        """Return times of a column that was made of others, known under a name of its own."""
        written = column if options.time_format is None else in_form(column, options.time_format)
        return read_times(written, name, options.time_unit, zone or options.time_zone, now_ms, self.known)

    def symbols(self, name: str) -> tuple[list[str], NDArray[np.int64]]:
        """Return the symbols of a column as the file writes them, and each row's position among them; -1 for none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        text = pc.utf8_trim_whitespace(self.data[name].cast(pa.string()))
        coded = text.combine_chunks().dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.cast(pa.int64()).fill_null(-1).to_numpy()

    def texts(self, positions: NDArray[np.int64]) -> Iterator[str]:
        """Yield rows as the file has them."""
        for start in range(0, len(positions), _AT_ONCE):
            for row in self.data.take(positions[start : start + _AT_ONCE]).to_pylist():
                if self.renamed:
                    yield ",".join("" if value is None else str(value).strip() for value in row.values())
                else:
                    yield json.dumps(row, default=str)

    def rejected(self, rows: Mask, reason: str) -> list[Rejected]:
        """Return rows that are set aside: number, reason, text."""
        at = np.flatnonzero(rows)
        return [(int(number), reason, text) for number, text in zip(self.rows[at], self.texts(at), strict=True)]


def first_lines(head: Head) -> list[Fields]:
    """Return the fields of a table's first lines; of a Parquet file its columns, of what is no table nothing."""
    if head.columns or is_parquet(head.path) or is_feather(head.path):
        return [head.columns] if head.columns else []
    if not is_table(head.path) or is_json(head.path):  # answers in JSON have decoders of their own
        return []
    return [line.fields for line in _split(head.text.decode("utf-8-sig", "replace"))]


class _Line(NamedTuple):
    """A line that is not blank: its place among all lines, its text, its fields, and what is between them."""

    place: int
    text: str
    fields: list[str]
    mark: str


def _split(text: str) -> list[_Line]:
    """Return the first lines of a text in which something stands."""
    found = []
    for place, said in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")):
        mark = max(DELIMITERS, key=said.count)  # of as many ones a comma is the last to be one: it may be in numbers
        if said.strip(mark + " \t"):
            fields = [field.strip().strip('"') for field in said.strip().split(mark)]
            found.append(_Line(place, said.strip(), fields, mark))
        if len(found) == HEAD_LINES:
            break
    widest = max((len(line.fields) for line in found), default=0)
    longest = [line for line in found if len(line.fields) == widest]
    if widest > 1 and not any(line.fields[-1] for line in longest):  # a delimiter at the end of each line
        for line in longest:
            line.fields.pop()
    return found


def of_first_lines(lines: Sequence[Fields], layout: Callable[[Fields], Layout | None]) -> Layout | str:
    """Return the layout of the first line that it knows; of a header, what stands above it is no row."""
    for place, line in enumerate(lines):
        found = layout(line)
        if found is not None:
            return found._replace(above=place) if found.header else found
    return f"its first line is {','.join(lines[0])[:80]!r}"


def is_header(fields: Fields) -> bool:
    """Whether a line names columns: it does not begin with a number."""
    return not _LEADING_NUMBER.fullmatch(fields[0])


def plain_name(name: str) -> str:
    """Write the name of a column plainly: `Funding Rate` becomes `funding_rate`."""
    return re.sub(r"[^a-z0-9]+", "_", name.strip().strip('"').lower()).strip("_")


def plain_layout(lines: Sequence[Fields], headerless: tuple[str, ...] = ()) -> Layout | str:
    """Return the layout of a table under the plain names of its header, or under `headerless` where it has none."""
    if is_header(lines[0]):
        return Layout(unique([plain_name(name) for name in lines[0]]), header=True, renamed=False)
    if len(lines[0]) > len(headerless):
        return f"no header row, and {len(lines[0])} columns where {len(headerless)} were expected"
    return Layout(headerless[: len(lines[0])], header=False, renamed=False)


def plain_names(head: Head) -> set[str]:
    """Return the plain names of a table's columns; none if it has no header."""
    lines = first_lines(head)
    return {plain_name(name) for name in lines[0]} if lines and is_header(lines[0]) else set()


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of which none comes twice; of equal ones the first stays as it is."""
    return tuple(name if name not in names[:i] else f"{name}.{i}" for i, name in enumerate(names))


def tables(path: Path, layout: LayoutOf, what: str) -> Iterator[Table]:
    """Read a CSV, a gzipped CSV, a zip with one CSV in it or a Parquet file, part by part.

    Parameters
    ----------
    path : Path
    layout : callable
        Names of the columns, from the first lines.
    what : str
        What it should hold, for messages.

    Yields
    ------
    Table
        Some 8 MiB of text, or as many rows of Parquet; each holds a row at least.

    Raises
    ------
    UnknownContentError
        It is no table, or one of something else.
    UnreadableFileError
        The file is damaged, empty, differs from its checksum or is not what its name says.
    """
    if not is_table(path):
        raise UnknownContentError(
            f"{path.name} holds no {what}: {path.suffix or 'a file without a suffix'} is none of {READABLE}."
        )
    sha256 = checked_digest(path)
    waiting = aside = _Part(None, np.empty(0, dtype=np.int64), (), Lines())
    n_rows = 0
    with decoding(path):
        simulated = is_simulated(path)
        parts = _read(path)(path, layout)
        renamed, known = False, dict[str, str]()

        def table(part: _Part) -> Table:
            data = part.data() if callable(part.data) else part.data
            return Table(path, sha256, data, part.rows, part.broken, simulated, renamed, part.lines, known)

        for part in parts:
            if isinstance(part, str):
                stop = "" if part.endswith('"…"') else "."  # a command is copied as it stands
                raise UnknownContentError(f"{path.name} holds no {what}: {part}{stop}")
            if isinstance(part, Layout):
                renamed = part.renamed
                continue
            n_rows += len(part.rows)
            aside = part._replace(broken=(*aside.broken, *part.broken), lines=aside.lines.plus(part.lines))
            if len(aside.broken) > MOST_BROKEN and len(aside.broken) > n_rows:
                raise UnreadableFileError(_mostly_broken(path, aside.broken))
            if len(part.rows) == 0:
                continue
            if len(waiting.rows):
                yield table(waiting)
            waiting, aside = aside, aside._replace(broken=(), lines=Lines())
        if len(waiting.rows) == 0:
            raise UnreadableFileError(f"{path} holds no row.")
        yield table(waiting._replace(broken=waiting.broken + aside.broken, lines=waiting.lines.plus(aside.lines)))


def _read(path: Path) -> Callable[[Path, LayoutOf], Parts]:
    """How a file is read, as its name says."""
    if is_parquet(path):
        return _parquet
    if is_feather(path):
        return _feather
    return _json if is_json(path) else _csv


def _mostly_broken(path: Path, broken: Sequence[tuple[int, str]]) -> str:
    number, text = broken[0]
    return (
        f"{path}: {len(broken):,} lines have too few or too many fields, the first is line {number}: {text[:80]!r}. "
        "Nothing was stored. Is it the right file?"
    )


class _Part(NamedTuple):
    """Some rows as a pyarrow table, their numbers, the lines that are no rows, and how many were read.

    Of text it is what makes the table, so that of the part that waits for the next one only the text is in memory.
    """

    data: Any
    rows: Times
    broken: tuple[tuple[int, str], ...]
    lines: Lines


Parts = Iterator[_Part | Layout | str]
"""The parts of a file, its layout before them, or the reason why it has none."""


def _parquet(path: Path, layout: LayoutOf) -> Parts:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
        names = unique(file.schema_arrow.names)
        found = layout([names])
        if isinstance(found, str) or not found.header:
            yield found if isinstance(found, str) else "its columns have no names that are known"
            return
        yield found
        once = list(names) == file.schema_arrow.names
        wanted = list(found.wanted) or None if once else None
        first = 1
        for batch in file.iter_batches(_batch_rows(file, wanted), columns=wanted, use_threads=False):
            data = pa.Table.from_batches([batch])
            if wanted is None:
                data = data.rename_columns(list(found.names))
            rows = np.arange(first, first + len(data), dtype=np.int64)
            first += len(data)
            yield _Part(data, rows, (), Lines(read=len(data)))


def _batch_rows(file: Any, wanted: list[str] | None) -> int:
    """How many rows make a part, by what the first of them take."""
    few = next(file.iter_batches(_FEW_ROWS, columns=wanted, use_threads=False), None)
    per_row = few.nbytes / len(few) if few is not None and len(few) else 1.0
    return int(np.clip(STRETCH_BYTES / max(per_row, 1.0), 1, MOST_ROWS))


def _feather(path: Path, layout: LayoutOf) -> Parts:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        names = unique(file.schema.names)
        found = layout([names])
        if isinstance(found, str) or not found.header:
            yield found if isinstance(found, str) else "its columns have no names that are known"
            return
        yield found
        first = 1
        for i in range(file.num_record_batches):
            data = pa.Table.from_batches([file.get_batch(i)]).rename_columns(list(found.names))
            for start in range(0, len(data), MOST_ROWS):
                part = data.slice(start, MOST_ROWS)
                yield _Part(part, np.arange(first, first + len(part), dtype=np.int64), (), Lines(read=len(part)))
                first += len(part)


def _json(path: Path, layout: LayoutOf) -> Parts:
    import pyarrow as pa

    names: tuple[str, ...] = ()
    first = 1
    with unpacked(path) as stream:
        for rows in json_rows(path, stream):
            if not names:
                lines = [[field or "" for field in _fields(row)] for row in rows[:HEAD_LINES]]
                found = layout([list(rows[0])] if isinstance(rows[0], dict) else [line for line in lines if line])
                yield found
                if isinstance(found, str):
                    return
                names = found.names
                above = 0 if isinstance(rows[0], dict) else found.above + found.header
                yield _Part(None, np.empty(0, dtype=np.int64), (), Lines(above, 0, above))
                rows, first = rows[above:], 1 + above
            fields = [_fields(row, names) for row in rows]
            good = [len(one) == len(names) for one in fields]
            kept = [one for one, fits in zip(fields, good, strict=True) if fits]
            columns = [pa.array(column, pa.string()) for column in zip(*kept, strict=True)]
            numbers = np.arange(first, first + len(rows), dtype=np.int64)
            broken = [(int(numbers[i]), json.dumps(rows[i])[:500]) for i in np.flatnonzero(~np.array(good, dtype=bool))]
            data = pa.table(columns, names=list(names)) if kept else None
            yield _Part(data, numbers[np.array(good, dtype=bool)], tuple(broken), Lines(read=len(rows)))
            first += len(rows)


def _fields(row: Any, names: Sequence[str] = ()) -> list[Any]:
    """Fields of a row of JSON as text; none of what is neither a list nor an object."""
    if isinstance(row, dict):
        return [as_text(row.get(name)) for name in names or row]
    return [as_text(value) for value in row] if isinstance(row, list) else []


def _csv(path: Path, layout: LayoutOf) -> Parts:
    with unpacked(path) as stream:
        parts = stretches(stream)
        first = next(parts, None)
        lines = [] if first is None else _split(first.text[:HEAD_BYTES].decode("utf-8", "replace"))
        if first is None or not lines:
            raise UnreadableFileError(f"{path} is empty.")
        _reject_json(path, first.text[:HEAD_BYTES])
        found = layout([line.fields for line in lines])
        yield found
        if isinstance(found, str):
            return
        named = lines[: found.above + found.header]
        above = named[-1].place + 1 if named else 0
        headers = {line.text for line in named}
        delimiter = next((line.mark for line in lines if len(line.fields) == len(found.names)), lines[-1].mark)
        for stretch in chain([first], parts):
            lined = sorted_out(stretch, len(found.names), delimiter, headers, above if stretch is first else 0)
            made = partial(_parsed, lined, found.names, delimiter)
            n_lines = len(lined.rows) + len(lined.broken) + lined.blank + lined.header
            yield _Part(made, lined.rows, lined.broken, Lines(n_lines, lined.blank, lined.header))


def _reject_json(path: Path, beginning: bytes) -> None:
    """Reject JSON under the name of a text: the error that a server gave instead of the file, or rows."""
    start = beginning.lstrip(b"\xef\xbb\xbf \r\n\t")
    if not start.startswith((b"{", b"[[", b"[{")):
        return
    if re.match(rb'\{\s*"(code|error|errors|msg|message|retCode|retMsg|detail)"', start):
        said = start[:200].decode("utf-8", "replace")
        raise UnreadableFileError(f"{path} holds an error of its source, no data: {said!r}. Download it again.")
    raise UnreadableFileError(f"{path} holds JSON. Name it .json.")


def _parsed(lined: SortedOut, names: Sequence[str], delimiter: str) -> Any:
    """Make columns of text of lines that are known to be rows."""
    import pyarrow as pa
    from pyarrow import csv

    return csv.read_csv(
        pa.BufferReader(lined.text),
        read_options=csv.ReadOptions(column_names=names, use_threads=False),
        parse_options=csv.ParseOptions(
            delimiter=delimiter, quote_char='"' if lined.quoted else False, ignore_empty_lines=False
        ),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def in_whole_groups(parts: Iterable[Table], open_from: Callable[[Table], int]) -> Iterator[Table]:
    """Yield parts of a file so that no group of rows lies in two of them.

    Parameters
    ----------
    parts : iterable of Table
    open_from : callable
        Position in a table from which its rows may belong to a group that goes on; at least one row comes before it,
        else the whole table is waited with.
    """
    held: Table | None = None
    for part in parts:
        if held is not None:
            place = open_from(held)
            if len(held) > MOST_HELD:  # no group is as large: it is not what it claims to be
                place = len(held)
            if place > 0:
                yield held.slice(0, place)
                held = replace(held.slice(place, len(held)), broken=(), lines=Lines())
        held = part if held is None else held.then(part)
    if held is not None:
        yield held


def trimmed(column: Any) -> Any:
    """Return a column as text without spaces around it, nothing where nothing stands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def to_numbers(column: Any) -> Column:
    """Return a column as float64; text that is no number is garbled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = np.zeros(len(column), dtype=bool)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        try:
            return Column(column.cast(pa.float64(), safe=False).to_numpy().astype(np.float64), nothing)
        except pa.ArrowException:
            return Column(np.full(len(column), np.nan), ~nothing)
    try:  # nearly always every value is a number; one that no float holds is infinite
        return Column(column.cast(pa.float64()).to_numpy().astype(np.float64), nothing)
    except pa.ArrowInvalid:
        text = trimmed(column)
    number = pc.or_(pc.match_substring_regex(text, NUMBER_TEXT), pc.match_substring_regex(text, _NAMES_NO_NUMBER))
    values = pc.if_else(number, text, None).cast(pa.float64()).to_numpy()
    known = pc.or_(number, pc.match_substring_regex(text, _NO_VALUE)).to_numpy(zero_copy_only=False)
    return Column(values.astype(np.float64), ~known.astype(bool))


def to_ids(column: Any) -> Column:
    """Return a column as whole numbers, NO_ID where nothing stands; what is none from 0 to 2^63 - 1 is garbled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):  # whole numbers with gaps, as pandas writes them
        floats = column.cast(pa.float64()).to_numpy()
        whole = (floats >= 0) & (floats < 2.0**53) & (floats == np.floor(floats))
        return Column(np.where(whole, floats, NO_ID).astype(np.int64), ~whole & ~np.isnan(floats))
    text = trimmed(column)
    fits = pc.match_substring_regex(text, INTEGER_TEXT)
    values = pc.if_else(fits, text, "0").cast(pa.uint64()).to_numpy()
    known = fits.to_numpy().astype(bool) & (values <= np.iinfo(np.int64).max)
    nothing = pc.match_substring_regex(text, _NO_VALUE).to_numpy().astype(bool)
    return Column(np.where(known, values, NO_ID).astype(np.int64), ~known & ~nothing)


def without_garbled(table: Table, columns: Mapping[str, Column]) -> tuple[Mask, list[Rejected]]:
    """Return which rows are good in all columns, and the others, each with the reason."""
    answer = np.ones(len(table), dtype=bool)
    rejected: list[Rejected] = []
    for name, column in columns.items():
        if column.garbled.any():
            rejected += table.rejected(answer & column.garbled, "id_unreadable" if name == "id" else "not_a_number")
            answer &= ~column.garbled
    return answer, rejected


def garbled_rows(columns: Iterable[Column]) -> Mask:
    """Return which rows are garbled in some column."""
    answer: Mask = np.any([column.garbled for column in columns], axis=0)
    return answer


def raw_events(
    table: Table,
    kind: str,
    symbol: str | None,
    times: Times,
    columns: Mapping[str, Column],
    wanted: Mask | None = None,
    notes: tuple[str, ...] = (),
    *,
    first: bool = True,
) -> RawEvents:
    """Return the events of some rows of a table; those with text where a number should be are rejected.

    Parameters
    ----------
    table : Table
    kind : str
    symbol : str or None
    times : array of int64, ms, shape (n_rows,)
        Of the events.
    columns : mapping of str to Column, shape (n_rows,)
    wanted : array of bool, shape (n_rows,), optional
        Rows of this symbol; all if absent.
    notes : tuple of str
    first : bool
        Whether these are the first events of the file: they carry its broken lines.
    """
    wanted = np.ones(len(table), dtype=bool) if wanted is None else wanted
    garbled = garbled_rows(columns.values()) & wanted
    kept = wanted & ~garbled
    rejected = table.rejected(garbled, "not_a_number")
    rejected += [(number, "broken_line", text) for number, text in table.broken] if first else []
    return RawEvents(
        path=table.path,
        sha256=table.sha256,
        kind=kind,
        symbol=symbol,
        rows=table.rows[kept],
        event_time=times[kept],
        columns={name: column.values[kept] for name, column in columns.items()},
        rejected=tuple(sorted(rejected)),
        notes=notes,
        simulated=table.simulated,
        lines=table.lines if first else Lines(),
    )


def events_by_symbol(
    table: Table,
    kind: str,
    rows: Times,
    times: Times,
    columns: Mapping[str, NDArray[Any]],
    symbols: Symbols,
    good: Mask,
    *,
    rejected: Sequence[Rejected],
    venue: str = "",
    received_at: Times | None = None,
    notes: Sequence[str] = (),
) -> list[RawEvents]:
    """Return one `RawEvents` a symbol, in the order in which they first appear.

    Rejected rows and notes are of the whole file and go with the first of them.

    Parameters
    ----------
    table : Table
    kind : str
    rows : array of int64, shape (n_events,)
        Number of each event's row in the file.
    times : array of int64, ms, shape (n_events,)
    columns : mapping of str to array, shape (n_events,)
    symbols : tuple of (sequence of str or None, array of int64 of shape (n_events,))
    good : array of bool, shape (n_events,)
        Events to give; the others were rejected or left out.
    rejected : sequence of (int, str, str)
        Rows of the table; its broken lines are added.
    venue : str
        Where the symbols are traded: it tells what contracts they are.
    received_at : array of int64, ms, shape (n_events,), optional
    notes : sequence of str

    Raises
    ------
    AmbiguousError
        Not one symbol is of a spot or linear market.
    """
    names, code = symbols
    of_name, strange = _of_names(table.path, names, venue)
    said = [*notes, *_left_out([*strange, ""] if (code < 0).any() else strange)]
    broken = [(number, "broken_line", line) for number, line in table.broken]
    ours = good & np.isin(code, [one for codes in of_name.values() for one in codes])
    left_out = _without_events(table, rows[ours], rejected)
    answer: list[RawEvents] = []
    for name, codes in of_name.items():
        at = np.flatnonzero(good & np.isin(code, codes))
        if not len(at) and (answer or len(of_name) > 1):
            continue
        answer.append(
            RawEvents(
                path=table.path,
                sha256=table.sha256,
                kind=kind,
                symbol=name,
                rows=rows[at],
                event_time=times[at],
                columns={column: values[at] for column, values in columns.items()},
                received_at=None if received_at is None else received_at[at],
                rejected=() if answer else tuple(sorted([*broken, *rejected])),
                notes=() if answer else tuple(said),
                simulated=table.simulated,
                lines=Lines() if answer else table.lines,
                left_out=0 if answer else left_out,
            )
        )
    return answer


def _without_events(table: Table, rows: Times, rejected: Sequence[Rejected]) -> int:
    """Return of how many rows no event was made, though nothing is wrong with them."""
    seen = np.zeros(len(table), dtype=bool)
    seen[np.searchsorted(table.rows, rows)] = True
    seen[np.searchsorted(table.rows, np.array([row[0] for row in rejected], dtype=np.int64))] = True
    return int((~seen).sum())


def _of_names(path: Path, names: Sequence[str | None], venue: str) -> tuple[dict[str | None, list[int]], list[str]]:
    """Positions of the names of each symbol that can be stored, and the other names."""
    found: dict[str | None, list[int]] = {}
    strange: dict[str, str] = {}
    for i, name in enumerate(names):
        try:
            contract = read_symbol(name, venue) if name is not None else None
            reason = refusal(str(name), contract, venue) if contract else ""
        except AmbiguousError as error:
            contract, reason = None, str(error)
        if reason:
            strange[str(name)] = reason
        else:
            found.setdefault(contract and contract.symbol, []).append(i)
    if strange and not found:
        raise AmbiguousError(f"{path.name}: {next(iter(strange.values()))}")
    return found, list(strange)


def _left_out(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"left out: {', '.join(sorted(names)[:5])}, which are not symbols of a spot or linear market"]


def by_symbol(table: Table, name: str, venue: str) -> tuple[dict[str, Mask], list[str]]:
    """Return which rows belong to which symbol, in order of their names, and a note on the symbols left out.

    Raises
    ------
    AmbiguousError
        No row names one, or not one symbol is of a spot or linear market.
    """
    written, codes = table.symbols(name)
    found, strange = _of_names(table.path, written, venue)
    notes = [*_left_out(strange), *without_symbol(table, codes)]
    return {str(symbol): np.isin(codes, at) for symbol, at in sorted(found.items(), key=str)}, notes


def without_symbol(table: Table, codes: NDArray[np.int64]) -> list[str]:
    """Return a note on the rows that name no symbol and are left out.

    Raises
    ------
    AmbiguousError
        No row names one.
    """
    silent = int((codes < 0).sum())
    if silent == len(codes):
        row = int(table.rows[0])
        raise AmbiguousError(f"{table.path}: row {row} names no symbol, and no other row does. Name them.")
    return [Counted("left out: {n} row{s} without a symbol", silent)] if silent else []

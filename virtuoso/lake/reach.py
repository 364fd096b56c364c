"""Whether a query in SQL reaches for what is sealed, told from its conditions on time, symbol and venue alone.

1. Sealed rows are never among the rows that a query sees (sql.py). This decides only what is said of that.
2. Of each SELECT that reads a view, the conditions on its keys are put to a table of moments inside the seals; no
   stored row is read for it. Conditions on anything else are left out.
3. Where some moment meets them and one of them is on time, the query asked for a sealed stretch by name: it is refused.
   Where none is on time, it asked for everything: it is answered without the sealed rows, and that is said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from virtuoso.lake.manifest import BARS

if TYPE_CHECKING:
    import duckdb

MOST_MOMENTS = 200_000
"""Of one stretch: those of its bars as far as there is room, else evenly spread."""
TIMES = frozenset({"time", "open_time", "event_time", "available_at", "month", "day"})
KEYS = TIMES | {"venue", "symbol", "timeframe"}
_SKELETON = "sealed_moments_of_"
Node = dict[str, Any]


class Stretch(NamedTuple):
    """A sealed stretch of a stored series, as far as rows are stored in it.

    Attributes
    ----------
    kind : str
        'bars', or a kind of event.
    places : mapping of str to str
        Its venue, symbol and, of bars, timeframe.
    start, end : int, ms
    step : int, ms
        How long a bar is; a minute of events.
    """

    kind: str
    places: Mapping[str, str]
    start: int
    end: int
    step: int


def reached(connection: duckdb.DuckDBPyConnection, query: str, sealed: Sequence[Stretch]) -> tuple[bool, bool]:
    """Return whether a query reaches for sealed rows, and whether it names their time.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Moments are registered with it.
    query : str
        A single SELECT.
    sealed : sequence of Stretch
    """
    parsed = json.loads(connection.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0])
    if not sealed or parsed["error"]:  # the plan of a query shows no rows
        return False, False
    reaches = names = False
    kinds = {stretch.kind for stretch in sealed}
    _register(connection, sealed)
    for select in _selects(parsed["statements"]):
        conditions = list(_conditions(select))
        on_time = any(column in TIMES for one in conditions for column in _columns(one))
        for kind in kinds & set(_tables(select["from_table"])):
            if _meets(connection, kind, [one for one in conditions if _is_of_keys(one)]):
                reaches, names = True, names or on_time
    return reaches, names


def _register(connection: duckdb.DuckDBPyConnection, sealed: Sequence[Stretch]) -> None:
    """Register the moments of each kind as a table with the keys of its view."""
    import pyarrow as pa

    for kind in {stretch.kind for stretch in sealed}:
        moment = "open_time" if kind == BARS else "event_time"
        parts = []
        for one in sealed:
            if one.kind == kind:
                step = max(one.step, (one.end - one.start) // MOST_MOMENTS)
                times = np.arange(one.start - one.start % one.step, one.end, step, dtype=np.int64)
                table = pa.table({moment: times, "available_at": times + (one.step if kind == BARS else 0)})
                for name, value in one.places.items():
                    table = table.append_column(name, pa.array([value] * len(times), pa.string()))
                parts.append(table)
        connection.register(f"_{_SKELETON}{kind}", pa.concat_tables(parts))
        connection.execute(
            f"create temp view {_SKELETON}{kind} as select *, strftime(time, '%Y-%m') as month, strftime(time, "
            f"'%Y-%m-%d') as day from (select make_timestamp({moment} * 1000) as time, * from _{_SKELETON}{kind})"
        )


def _meets(connection: duckdb.DuckDBPyConnection, kind: str, conditions: Sequence[Node]) -> bool:
    """Whether a sealed moment of a kind meets all of some conditions."""
    template = connection.execute(
        "select json_serialize_sql(?)", [f"select 1 from {_SKELETON}{kind} where true limit 1"]
    )
    tree = json.loads(template.fetchall()[0][0])
    where = {"class": "CONJUNCTION", "type": "CONJUNCTION_AND", "alias": "", "children": [*map(_plain, conditions)]}
    if len(conditions) > 1:
        tree["statements"][0]["node"]["where_clause"] = where
    elif conditions:
        tree["statements"][0]["node"]["where_clause"] = _plain(conditions[0])
    asked = connection.execute("select json_deserialize_sql(?::json)", [json.dumps(tree)]).fetchall()[0][0]
    return bool(connection.execute(asked).fetchall())


def _selects(tree: Any) -> Iterator[Node]:
    """Every SELECT of a tree, those inside others included."""
    if isinstance(tree, dict):
        if tree.get("type") == "SELECT_NODE":
            yield tree
        tree = list(tree.values())
    for inner in tree if isinstance(tree, list) else ():
        yield from _selects(inner)


def _tables(source: Node) -> Iterator[str]:
    """Names of the tables that a SELECT reads itself."""
    if source["type"] == "BASE_TABLE":
        yield source["table_name"].lower().removeprefix("_")
    elif source["type"] == "JOIN":
        yield from _tables(source["left"])
        yield from _tables(source["right"])


def _conditions(select: Node) -> Iterator[Node]:
    """What all rows that a SELECT reads must meet, one by one: of WHERE, and of inner joins."""
    yield from _parts(select.get("where_clause"))
    yield from _joined(select["from_table"])


def _joined(source: Node) -> Iterator[Node]:
    if source["type"] == "JOIN":
        if source["join_type"] == "INNER":
            yield from _parts(source.get("condition"))
        yield from _joined(source["left"])
        yield from _joined(source["right"])


def _parts(condition: Node | None) -> Iterator[Node]:
    if condition and condition["type"] == "CONJUNCTION_AND":
        for child in condition["children"]:
            yield from _parts(child)
    elif condition:
        yield condition


def _columns(tree: Any) -> Iterator[str]:
    """Columns that a condition names, without their tables."""
    if isinstance(tree, dict):
        if tree.get("class") == "COLUMN_REF":
            yield tree["column_names"][-1].lower()
        tree = list(tree.values())
    for inner in tree if isinstance(tree, list) else ():
        yield from _columns(inner)


def _is_of_keys(condition: Node) -> bool:
    """Whether a condition can be put to moments: it is of keys alone, and asks nothing of other rows."""
    names = list(_columns(condition))
    return bool(names) and KEYS.issuperset(names) and not any(True for _ in _selects(condition))


def _plain(tree: Any) -> Any:
    """The same condition with columns that name no table."""
    if isinstance(tree, dict):
        inner = {name: _plain(value) for name, value in tree.items()}
        return inner | {"column_names": inner["column_names"][-1:]} if tree.get("class") == "COLUMN_REF" else inner
    return [_plain(one) for one in tree] if isinstance(tree, list) else tree

"""Evaluation: what the trials of a study did, whole generations at a time.

1. An `Evaluator` is a study laid over its markets: the space, the parts (an instrument in a scenario each), the rounds.
   Parts are made ready when they are first asked for, and then serve every generation.
2. `evaluate` trades a generation part by part; where the study prunes, the hopeless ones are left out of the next part.
3. With an executor a generation is cut into columns. `task` evaluates some columns of one part: it is given names and
   numbers alone, reads the study's folder, writes its answer under a name made of its content and returns the path. So
   whoever dies loses that task and nothing else, and any cut gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field

from virtuoso.account.instrument import Instrument
from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.account.state import CLOSE, OPEN
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.executor import Executor as Executor
from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.lake.lake import Lake
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.registry import prism_from
from virtuoso.prism.settings import PrismSettings
from virtuoso.research.tracking.experiments import family_of
from virtuoso.research.tuning.objective import ScenarioReturns, survivors
from virtuoso.research.tuning.parts import (
    DAY_MS,
    PLANES,
    InForce,
    Loaded,
    Place,
    RulePart,
    StrategyPart,
    joined,
    load_parts,
    loaded_of,
    part_of,
    whole_days,
)
from virtuoso.research.tuning.rounds import Round, rounds_of
from virtuoso.research.tuning.space import Space, weighed_by_regime
from virtuoso.research.tuning.study import Study
from virtuoso.runs.write import as_json
from virtuoso.settings import RoomSettings
from virtuoso.signals.declared import Strategy, strategy_of
from virtuoso.signals.message.provenance import signal_code_digest
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array, Mask, Progress, Times

STUDY, IDENTITY, GENERATIONS = "study.yaml", "identity.json", "generations"
"""Files of a study's folder: the study as it was read, what it was made of, and what its trials did."""
TASK = "virtuoso.research.tuning.evaluate:task"
COLUMNS = 64
"""Trials of one task, about: as many as pass the market together."""
READY = 2
"""Studies that one process keeps ready."""


class TunedSettings(RoomSettings):
    """The settings that a study starts from: of a run's, those that change what a trial is."""

    prism: PrismSettings = Field(default_factory=PrismSettings)
    signals: SignalSettings = Field(default_factory=SignalSettings)
    trading: TradingSettings = Field(default_factory=TradingSettings)
    risk: RiskSettings = Field(default_factory=RiskSettings)

    @classmethod
    def of(cls, settings: InForce) -> Self:
        """Take them out of all settings."""
        return cls(prism=settings.prism, signals=settings.signals, trading=settings.trading, risk=settings.risk)

    def plain(self) -> dict[str, Any]:
        """Return plain values, without where things are written."""
        return self.model_dump(mode="json", exclude={"signals": {"reports"}})


class Evaluation(NamedTuple):
    """What a generation did.

    Attributes
    ----------
    returns : tuple of ScenarioReturns
        One a scenario, over the days before the end of the round; NaN of trials that were pruned or failed.
    failed : tuple of str or None
        Why a trial could not be evaluated; None where it could.
    pruned : tuple of str or None
        After which part a trial was dropped; None where it was not.
    """

    returns: tuple[ScenarioReturns, ...]
    failed: tuple[str | None, ...]
    pruned: tuple[str | None, ...]


@dataclass
class Evaluator:
    """A study laid over its markets; `Evaluator.of` makes one.

    Attributes
    ----------
    study : Study
    settings : TunedSettings
        In force.
    space : Space
    places : tuple of Place
        The parts, scenario by scenario.
    days : mapping of str to int
        Whole days of each scenario.
    rounds : tuple of Round
    identity : dict
        Digests of the study, the settings, the space, the code, and the data of each part.
    """

    study: Study
    settings: TunedSettings
    space: Space
    places: tuple[Place, ...]
    days: Mapping[str, int]
    rounds: tuple[Round, ...]
    identity: dict[str, Any]
    home: Path | None = None
    cache: Path | None = None
    _loaded: list[Loaded] = field(repr=False, default_factory=list)
    _parts: dict[int, RulePart | StrategyPart] = field(repr=False, default_factory=dict)
    _making: threading.Lock = field(repr=False, default_factory=threading.Lock)

    @classmethod
    def of(cls, study: Study, settings: InForce, home: Lake, cache: Path | None = None) -> Self:
        """Lay a study over what is stored.

        Parameters
        ----------
        study : Study
        settings : Settings
            In force: what is not tuned, and the prior of what is.
        home : Lake
        cache : Path, optional
            Folder in which blocks of scores are kept between runs.

        Raises
        ------
        ConfigError
            What the study names does not exist, or its history is too short.
        NoDataError
            Nothing is stored of a market, or its funding is not known.
        """
        made = cls.on(study, settings, list(load_parts(study, settings, home)), cache)
        made.home = home.path
        return made

    @classmethod
    def on(
        cls, study: Study, settings: InForce, loaded: Sequence[Loaded] | Mapping[str, Sequence[MarketFrame]],
        cache: Path | None = None,
    ) -> Self:  # fmt: skip
        """Lay a study over markets that are at hand: loaded ones, or frames by scenario."""
        chosen = TunedSettings.of(settings)
        if isinstance(loaded, Mapping):
            loaded = [
                loaded_of(study, chosen, name, whole_days(frame), None)
                for name, frames in loaded.items()
                for frame in frames
            ]
        places, days = _places(loaded)
        strategy = None if study.strategy is None else strategy_of(study.strategy, said="strategy of the study")
        prism = weighed_by_regime(study, prism_from(chosen.prism))
        parts = {k: part_of(one, prism, chosen.signals, strategy, cache) for k, one in enumerate(loaded)}
        known = {name for part in parts.values() for name in part.known}
        space = Space.of(study, prism, chosen.signals, strategy, None if strategy is not None else known)
        identity = {
            "study": study.digest,
            "settings": _digest(chosen.plain()),
            "space": space.digest,
            "code": _code(space, strategy),
            "data": {f"{one.scenario} {one.frame.instrument}": one.frame.fingerprint for one in loaded},
        }
        return cls(
            study, chosen, space, places, days, rounds_of(study, days), identity, None, cache, list(loaded), parts
        )

    def __repr__(self) -> str:
        return (
            f"<Evaluator of {self.study.name}: {len(self.space)} dimensions, {len(self.places)} parts, "
            f"{len(self.rounds)} rounds>"
        )

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios, in their order."""
        return tuple(self.days)

    @cached_property
    def day_starts(self) -> dict[str, Times]:
        """First moment of each day of each scenario, ms."""
        starts: dict[str, Times] = {}
        for name, count in self.days.items():
            first = min(one.first_day for one in self._loaded if one.scenario == name)
            starts[name] = (first + np.arange(count, dtype=np.int64)) * DAY_MS
        return starts

    @property
    def stretches(self) -> dict[str, dict[str, tuple[int, int]]]:
        """By scenario and instrument the window of a backtest of the same, ms: from inclusive, to exclusive."""
        found: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in self.days}
        for one in self._loaded:
            found[one.scenario][str(one.frame.instrument)] = one.stretch
        return found

    @property
    def timeframe(self) -> Timeframe:
        """The clock that all parts share."""
        return self._loaded[0].frame.timeframe

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What is traded, a part each."""
        return tuple(place.instrument for place in self.places)

    @cached_property
    def family(self) -> tuple[str, ...]:
        """What the trials are made of, for the ledger of tries."""
        return family_of(self.space.prism) if self.space.strategy is None else (self.space.strategy.name,)

    def held(self) -> dict[str, Array]:
        """Return what holding the instruments of each scenario in equal parts returned on each of its days."""
        found = {}
        for name, count in self.days.items():
            own = [(k, one) for k, one in enumerate(self._loaded) if one.scenario == name]
            total, known = np.zeros(count), np.zeros(count)
            for k, one in own:
                here = slice(self.places[k].offset, self.places[k].offset + one.n_days)
                total[here] += _held(one)
                known[here] += 1.0
            found[name] = np.divide(total, known, out=np.zeros(count), where=known > 0.0)
        return found

    @property
    def nbytes(self) -> int:
        """Memory that what is made ready takes, bytes; the same for any number of trials."""
        return sum(part.nbytes for part in self._parts.values())

    def generation_bytes(self, n: int) -> int:
        """Return the memory that the answer of a generation of n trials takes, bytes."""
        return 8 * n * sum(self.days.values()) * self._planes

    @property
    def _planes(self) -> int:
        return PLANES + (6 if self._horizon else 0)

    @cached_property
    def _horizon(self) -> int:
        """Bars of the horizon of the linear coefficient; 0 where nobody asks for it."""
        asked = "linear_ic" in self.study.objectives
        return self._loaded[0].frame.timeframe.bars(self.study.horizon) if asked else 0

    def part(self, number: int) -> RulePart | StrategyPart:
        """Return a part, made ready."""
        return self._parts[number]

    def days_of(self, number: int, round_: Round) -> int:
        """Return how many days of a part lie before the end of a round."""
        place = self.places[number]
        return max(0, min(place.days, round_.windows[place.scenario].stop - place.offset))

    def columns(self, points: Array, round_: Round, number: int) -> tuple[Array, tuple[str, ...]]:
        """Trade some trials on one part.

        Parameters
        ----------
        points : Array, shape (n, d)
        round_ : Round
        number : int
            Of the part.

        Returns
        -------
        tuple of Array, shape (n_planes, days, n), and of str
            What is kept of each day, and why a trial could not be evaluated.
        """
        planes = self.part(number).planes(
            self.space, self.space.decode(points), self.days_of(number, round_), self._horizon
        )
        return planes.values, planes.failed

    def evaluate(
        self,
        points: Array,
        round_: Round,
        executor: Executor | None = None,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Evaluate a generation.

        Parameters
        ----------
        points : Array, shape (n, d)
        round_ : Round
            Nothing is looked at behind its end.
        executor : Executor, optional
            Runs columns of the generation beside each other; this thread does all of it if absent.
        folder : Path, optional
            The study's folder, which `write` has written; an executor needs it.
        progress : callable, optional

        Returns
        -------
        Evaluation
            The same for any executor, and for any cut of the generation into columns.
        """
        n = len(points)
        alive: Mask = np.ones(n, dtype=bool)
        failed: list[str | None] = [None] * n
        pruned: list[str | None] = [None] * n
        done: dict[str, list[Array]] = {}
        for number, place in enumerate(self.places):
            rows = np.flatnonzero(alive)
            told = None if progress is None else _told(progress, number, len(self.places))
            values, why = self._part_of_generation(points[rows], round_, number, executor, folder, told)
            whole = np.full((*values.shape[:2], n), np.nan)
            whole[:, :, rows] = values
            done.setdefault(place.scenario, []).append(whole)
            for row, said in zip(rows.tolist(), why, strict=True):
                if said:
                    failed[row], alive[row] = said, False
            if number < len(self.places) - 1 and self.study.pruning is not None:
                going = survivors(self.study, self._returns(done, round_), round_, alive)
                for row in np.flatnonzero(alive & ~going).tolist():
                    pruned[row] = f"dropped after {place.instrument} of {place.scenario}"
                alive = going
        return Evaluation(tuple(self._returns(done, round_)), tuple(failed), tuple(pruned))

    def _returns(self, done: Mapping[str, list[Array]], round_: Round) -> list[ScenarioReturns]:
        """Put what is done together, scenario by scenario."""
        found = []
        for name, planes in done.items():
            days = round_.windows[name].stop
            own = [place for place in self.places if place.scenario == name][: len(planes)]
            values = joined(own, planes, days)
            net, traded, turned, costs = values[:PLANES]
            starts = self.day_starts[name][:days]
            found.append(ScenarioReturns(name, starts, net, traded, turned, costs, values[PLANES:]))
        return found

    def _part_of_generation(
        self, points: Array, round_: Round, number: int, executor: Executor | None, folder: Path | None,
        progress: Progress | None,
    ) -> tuple[Array, tuple[str, ...]]:  # fmt: skip
        """Trade a generation on one part, by itself or in columns through an executor."""
        if executor is None or folder is None:
            return self.columns(points, round_, number)
        file = _write_named(folder / GENERATIONS, "points", {"points": points})
        ids = [
            {
                "folder": str(folder), "lake": str(self.home or ""), "cache": str(self.cache or ""),
                "identity": _digest(self.identity), "points": file.name, "round": round_.number, "part": number,
                "first": a, "stop": b,
            }
            for a, b in _cuts(len(points), executor.jobs)
        ]  # fmt: skip
        with _serving(self, folder):
            answers = executor.map(TASK, ids, progress)
        found = {path: _read(Path(path)) for path in dict.fromkeys(answers)}
        whole = np.concatenate([found[path][0] for path in answers], axis=2)
        why = tuple(said for path in answers for said in found[path][1])
        for one in (*map(Path, found), file):
            one.unlink(missing_ok=True)
        return whole, why

    def write(self, folder: Path) -> None:
        """Write what tasks read into a study's folder: the study, the settings in force, and what it is made of."""
        disk = Disk()
        disk.make_folder(folder / GENERATIONS)
        disk.write(folder / STUDY, self.study.written().encode())
        in_it = {**self.identity, "settings in force": self.settings.plain()}
        disk.write(folder / IDENTITY, as_json(in_it))


def read_evaluator(folder: Path, home: Lake, cache: Path | None = None) -> Evaluator:
    """Make the evaluator of a study's folder.

    Raises
    ------
    DataError
        The data, the space or the code is not what the folder was written with: names what differs.
    """
    written = json.loads((folder / IDENTITY).read_bytes())
    settings = TunedSettings.model_validate(written.pop("settings in force"))
    evaluator = Evaluator.of(Study.read(folder / STUDY), settings, home, cache)
    differs = changes(written, evaluator.identity)
    if differs:
        raise DataError(f"{folder} was written with other {' and '.join(differs)} than there are now.")
    return evaluator


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name what differs between two identities: `data of all BTCUSDT binance-usdm`, `code`, `space` ..."""
    named = [name for name in ("study", "settings", "space", "code") if before.get(name) != now.get(name)]
    older, newer = before.get("data", {}), now.get("data", {})
    return named + [f"data of {name}" for name in sorted({*older, *newer}) if older.get(name) != newer.get(name)]


# --- tasks ---

_READY: OrderedDict[tuple[str, str], Evaluator] = OrderedDict()
_MAKING = threading.Lock()


def task(ids: Mapping[str, Any]) -> str:
    """Evaluate some columns of a generation on one part; what an executor runs.

    Parameters
    ----------
    ids : mapping
        The study's folder and the digest of its identity, the lake, the file of points in `generations/`, the numbers
        of round and part, and the columns from `first` to before `stop`.

    Returns
    -------
    str
        Path of the answer, named by its content.
    """
    folder = Path(ids["folder"])
    evaluator = _ready(folder, ids)
    with np.load(folder / GENERATIONS / ids["points"], allow_pickle=False) as file:
        points = file["points"][ids["first"] : ids["stop"]]
    values, failed = evaluator.columns(points, evaluator.rounds[ids["round"]], ids["part"])
    written = {"values": values, "failed": np.array(failed, dtype=np.str_)}
    return str(_write_named(folder / GENERATIONS, "answer", written))


def _ready(folder: Path, ids: Mapping[str, Any]) -> Evaluator:
    """Return the evaluator of a study's folder; this process keeps the last few."""
    key = (str(folder), str(ids["identity"]))
    with _MAKING:
        found = _READY.get(key)
        if found is None:
            found = read_evaluator(folder, Lake(ids["lake"]), Path(ids["cache"]) if ids["cache"] else None)
            if _digest(found.identity) != ids["identity"]:
                raise DataError(f"{folder} is not of the study whose columns are asked for.")
            _READY[key] = found
        _READY.move_to_end(key)
        while len(_READY) > READY:
            _READY.popitem(last=False)
    return found


class _serving:
    """Lets tasks of this process use an evaluator that is ready, while they run."""

    def __init__(self, evaluator: Evaluator, folder: Path) -> None:
        self.evaluator, self.key = evaluator, (str(folder), _digest(evaluator.identity))

    def __enter__(self) -> None:
        with _MAKING:
            _READY[self.key] = self.evaluator

    def __exit__(self, *_: object) -> None:
        with _MAKING:
            _READY.pop(self.key, None)


def _cuts(n: int, jobs: int) -> list[tuple[int, int]]:
    """Columns of each task: every job has some, and none more than pass the market together."""
    count = max(min(jobs, n), -(-n // COLUMNS), 1)
    edges = [n * k // count for k in range(count + 1)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _write_named(folder: Path, kind: str, arrays: Mapping[str, Any]) -> Path:
    """Write arrays into a file that is named by its content; one that is there is the same."""
    held = io.BytesIO()
    np.savez(held, **arrays)
    data = held.getvalue()
    path = folder / f"{kind}-{hashlib.sha256(data).hexdigest()}.npz"
    if not path.exists():
        disk = Disk()
        disk.make_folder(folder)
        disk.write(path, data, lasting="bytes")
    return path


def _read(path: Path) -> tuple[Array, tuple[str, ...]]:
    """Read an answer; refuse one whose content is not what its name says."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != path.stem.partition("-")[2]:
        raise DataError(f"{path} does not hold what its name says. Run the study again: it goes on where it was.")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return file["values"], tuple(str(said) for said in file["failed"])


def _told(progress: Progress, number: int, parts: int) -> Progress:
    """Tell of the tasks of one part as of those of all parts."""
    return lambda what, done, total: progress(what, number * total + done, parts * total)


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _code(space: Space, strategy: Strategy | None) -> str:
    """Digest of the code by which trials are evaluated, the user's own included."""
    module = "virtuoso.research.tuning.evaluate"
    if strategy is not None:
        return code_digest([type(strategy)], [module])
    return signal_code_digest(space.prism, module)


def _places(loaded: Sequence[Loaded]) -> tuple[tuple[Place, ...], dict[str, int]]:
    """Where the parts lie on the days of their scenarios, and how many days those have."""
    places, days = [], {}
    for name in dict.fromkeys(one.scenario for one in loaded):
        own = [one for one in loaded if one.scenario == name]
        first = min(one.first_day for one in own)
        days[name] = max(one.first_day + one.n_days for one in own) - first
        places += [Place(name, one.frame.instrument, one.first_day - first, one.n_days) for one in own]
    return tuple(places), days


def _held(one: Loaded) -> Array:
    """Return the daily returns of holding one instrument, from its first open on; of a day that is not known 0."""
    bars = one.panel.bars[:, 0]
    close = bars[:, CLOSE].reshape(one.n_days, -1)
    known = np.isfinite(close)
    newest = close.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    last = np.where(known.any(axis=1), close[np.arange(one.n_days), newest], np.nan)
    opens = bars[np.isfinite(bars[:, OPEN]), OPEN]
    prices = np.concatenate((opens[:1], last))
    at = np.maximum.accumulate(np.where(np.isfinite(prices), np.arange(len(prices)), 0))
    return np.asarray(prices[at][1:] / prices[at][:-1] - 1.0)

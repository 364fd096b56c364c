"""What a study found: its trials, its walk forward, its winner; a run folder like others.

1. The winner of a round is its best trial in sample. Of several objectives it is the trial of the Pareto front that is
   nearest to the ideal point, each objective scaled to the front: a rule that is declared, and looks at no later day.
2. What is reported is out of sample: the test days of the rounds' winners, one after another, beside what is in force
   untuned and beside holding.
3. The same study on the same data gives the same bytes: trials are numbered by their places, and no clock is written.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from virtuoso.account.metrics import DAYS_A_YEAR
from virtuoso.clock import iso
from virtuoso.errors import NoDataError
from virtuoso.files.atomic import Disk
from virtuoso.pictures import Plottable
from virtuoso.research.tracking.experiments import sharpes
from virtuoso.research.tuning.objective import ScenarioReturns
from virtuoso.research.tuning.rounds import Round
from virtuoso.research.tuning.samplers import COMPLETE, MAXIMIZE, Direction
from virtuoso.research.tuning.storage import Claim, Kept
from virtuoso.research.tuning.study import Study
from virtuoso.runs.schema import CONFIG, PROVENANCE, SUMMARY, TRIALS, VERDICT
from virtuoso.runs.write import as_json, as_parquet
from virtuoso.types import Array, Times

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.research.backtest.result import PortfolioResult

RESULT, WINNER = "result", "winner"
"""Folder of the result in that of the study, and of the winner's backtest in it."""
DAILY, WALK_FORWARD = "daily.parquet", "walk_forward.parquet"
WINNER_YAML, WINNER_JSON = "winner.yaml", "winner.json"
FILES = frozenset({CONFIG, PROVENANCE, SUMMARY, TRIALS, DAILY, WALK_FORWARD, WINNER_YAML, WINNER_JSON})
ONE_RULE = "the best value in sample"
FRONT_RULE = "of the Pareto front in sample the trial nearest to the ideal point, each objective scaled to the front"
GENERATIONS = "generations"


def combined(returns: Sequence[ScenarioReturns]) -> tuple[Times, Array]:
    """Put scenarios together: the mean over those that have a day.

    Returns
    -------
    tuple of array of int64, ms, shape (n_days,) and Array, shape (n_days, n)
        NaN of trials that were not evaluated.
    """
    days = np.unique(np.concatenate([one.days for one in returns]))
    total, count = np.zeros((len(days), len(returns[0]))), np.zeros((len(days), 1))
    for one in returns:
        at = np.searchsorted(days, one.days)
        total[at] += one.daily
        count[at] += 1.0
    return days, total / count


def tested(returns: Sequence[ScenarioReturns], round_: Round) -> tuple[Times, Array]:
    """Put the test windows of a round together."""
    windows = [round_.windows[one.name] for one in returns]
    return combined([one.between(w.test_first, w.test_stop) for one, w in zip(returns, windows, strict=True)])


def holding_of(held: Mapping[str, Array], starts: Mapping[str, Times], round_: Round) -> Array:
    """Return what holding returned on the test days of a round: the mean over the scenarios that have a day."""
    windows = {name: slice(round_.windows[name].test_first, round_.windows[name].test_stop) for name in held}
    days = np.unique(np.concatenate([starts[name][here] for name, here in windows.items()]))
    total, count = np.zeros(len(days)), np.zeros(len(days))
    for name, here in windows.items():
        at = np.searchsorted(days, starts[name][here])
        total[at] += held[name][here]
        count[at] += 1.0
    return total / count


def front_of(kept: Sequence[Kept], directions: Sequence[Direction]) -> list[Kept]:
    """Return the trials that no other trial beats in every objective, in the order of their places."""
    have = [one for one in kept if one.told.state == COMPLETE]
    if not have:
        return []
    gains = _gains(have, directions)
    beaten = [bool(((gains >= own).all(axis=1) & (gains > own).any(axis=1)).any()) for own in gains]
    return [one for one, lost in zip(have, beaten, strict=True) if not lost]


def best_of(kept: Sequence[Kept], directions: Sequence[Direction]) -> Kept | None:
    """Return the winner among trials by the declared rule, the earliest of equals; None where none has a value."""
    front = front_of(kept, directions)
    if not front:
        return None
    gains = _gains(front, directions)
    low, high = gains.min(axis=0), gains.max(axis=0)
    short = (high - gains) / np.where(high > low, high - low, 1.0)
    return front[int(np.argmin((short * short).sum(axis=1)))]


def _gains(kept: Sequence[Kept], directions: Sequence[Direction]) -> Array:
    signs = np.array([1.0 if one == MAXIMIZE else -1.0 for one in directions])
    return np.asarray(np.array([one.told.values for one in kept]) * signs)


def keep_daily(folder: Path, claims: Sequence[Claim], daily: Array, generation: int) -> None:
    """Keep the daily returns of trials of the last round, for the result: a file a generation, a column a slot."""
    for number in sorted({claim.generation for claim in claims}):
        path = _daily_file(folder, number)
        whole = np.full((len(daily), generation), np.nan)
        if path.is_file():
            before = np.load(path, allow_pickle=False)
            whole = before if before.shape == whole.shape else whole
        for column, claim in enumerate(claims):
            if claim.generation == number and 0 <= claim.slot < generation:
                whole[:, claim.slot] = daily[:, column]
        with Disk().opened(path, lasting="bytes") as file:
            np.save(file, whole, allow_pickle=False)


def kept_daily(folder: Path, generation: int, slots: Sequence[int], days: int) -> Array | None:
    """Return the daily returns of some slots of a generation of the last round; None where they are not all kept."""
    try:
        whole = np.load(_daily_file(folder, generation), allow_pickle=False)
    except (OSError, ValueError):
        return None
    return whole[:, slots] if len(whole) == days and max(slots) < whole.shape[1] else None


def _daily_file(folder: Path, generation: int) -> Path:
    return folder / GENERATIONS / f"daily-{generation:04d}.npy"


class Chosen(NamedTuple):
    """The winner of a round.

    Attributes
    ----------
    round_name : str
    number : int
        By its place in the round: generation times their size, plus slot.
    point : Array, shape (n_names,)
    values : tuple of float
    inside, outside : dict of str to float
        Objectives on the days that it was tuned on and on those of its test, by name; NaN is not known.
    """

    round_name: str
    number: int
    point: Array
    values: tuple[float, ...]
    inside: dict[str, float]
    outside: dict[str, float]


@dataclass(frozen=True)
class StudyResult(Plottable):
    """What a study found; `print` shows it, `to_pandas` gives its trials, `plot` its walk forward.

    Attributes
    ----------
    study : Study
    folder : Path
        Of the study.
    trials : dict of str to array
        Columns of `trials.parquet`, a row a trial of any round.
    walk_forward : dict of str to array
        Test days of the rounds' winners one after another: date (ms), round, return, untuned, buy_and_hold.
    daily : dict of str to array
        Daily returns of the trials of the last round: date (ms), then a column a number.
    chosen : tuple of Chosen
        Winners, a round each; the last one is that of the study.
    overlay : dict
        The winner as settings for `-c`; of an own strategy `strategy` and `parameters`.
    front : tuple of int
        Numbers of the Pareto front of the last round; of one objective the winner alone.
    config, provenance : dict
    winner_run : PortfolioResult or None
        The winner's backtest; None where the result was read from its folder.
    result_hash : str
        Of that backtest.
    command : str
        That repeats it.
    fresh : bool
        Whether it was found now.
    spent : dict of str to float, seconds
        That its parts took: market, estimate, sampler, storage, evaluation, ledger, winner, argument, tracking; empty
        where it was read.
    """

    study: Study
    folder: Path
    trials: dict[str, np.ndarray]
    walk_forward: dict[str, np.ndarray]
    daily: dict[str, np.ndarray]
    chosen: tuple[Chosen, ...]
    overlay: dict[str, Any]
    front: tuple[int, ...]
    config: dict[str, Any]
    provenance: dict[str, str]
    winner_run: PortfolioResult | None = field(default=None, repr=False)
    result_hash: str = ""
    command: str = ""
    fresh: bool = True
    spent: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def winner(self) -> Chosen:
        """The winner of the last round, which is that of the study."""
        return self.chosen[-1]

    @property
    def n_trials(self) -> int:
        """Trials of all rounds."""
        return len(self.trials["number"])

    @cached_property
    def outside(self) -> dict[str, float]:
        """Annual Sharpe ratio and growth out of sample: of the winners, of what is in force, of holding."""
        found: dict[str, float] = {}
        for name in ("return", "untuned", "buy_and_hold"):
            days = self.walk_forward[name]
            found[f"sharpe_{name}"] = (
                float(sharpes(days[:, None])[0] * math.sqrt(DAYS_A_YEAR)) if len(days) else math.nan
            )
            found[f"growth_{name}"] = float(np.prod(1.0 + days) - 1.0) if len(days) else math.nan
        return found

    def __repr__(self) -> str:
        states = {name: int((self.trials["state"] == name).sum()) for name in ("complete", "pruned", "fail")}
        told = ", ".join(f"{count:,} {name}" for name, count in states.items() if count)
        out = self.outside
        walk = (
            f"Sharpe out of sample {out['sharpe_return']:.2f} over {len(self.walk_forward['date']):,} days "
            f"(untuned {out['sharpe_untuned']:.2f}, held {out['sharpe_buy_and_hold']:.2f})"
            if len(self.walk_forward["date"])
            else "nothing was tested out of sample"
        )
        return f"<StudyResult of {self.study.name}: {self.n_trials:,} trials ({told}); {walk}>"

    def lines(self) -> list[str]:
        """Say it for people, a line each."""
        first = self.study.objectives[0]
        rounds = [
            f"{one.round_name:<10} trial {one.number:>6,}  {first} in sample {one.inside[first]:7.3f}"
            + (f"  out of sample {one.outside[first]:7.3f}" if math.isfinite(one.outside[first]) else "")
            for one in self.chosen
        ]
        told = [f"result_hash of the winner's backtest: {self.result_hash}", f"repeat it: {self.command}"]
        return [repr(self).strip("<>"), *rounds, *(told if self.result_hash else [])]

    @property
    def rounds(self) -> pd.DataFrame:
        """The winners of the rounds, a row each: `trial`, and each objective in sample and out of sample."""
        import pandas as pd

        many = len(self.study.objectives) > 1
        rows = [
            {"trial": one.number}
            | {
                f"{name} {where}" if many else where: found[name]
                for where, found in (("in sample", one.inside), ("out of sample", one.outside))
                for name in self.study.objectives
            }
            for one in self.chosen
        ]
        return pd.DataFrame(rows, index=pd.Index([one.round_name for one in self.chosen], name="round"))

    @property
    def verdict(self) -> dict[str, Any]:
        """What the study was judged to be worth, as `verdict.json` holds it; empty where it was not judged."""
        file = self.folder / RESULT / VERDICT
        told: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
        return told

    def to_pandas(self) -> pd.DataFrame:
        """Return the trials, a row each."""
        import pandas as pd

        return pd.DataFrame(self.trials)

    def configuration(self) -> dict[str, Any]:
        """Return the study and the settings in force."""
        return self.config

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files of the run folder, by name."""
        import yaml

        winner = {
            "simulated": self.config["simulated"], "trial": self.winner.number, "rule": self.config["winner_rule"],
            "point": dict(zip(self.config["names"], self.winner.point.tolist(), strict=True)),
            "values": dict(zip(self.study.objectives, self.winner.values, strict=True)),
            "front": list(self.front), "result_hash": self.result_hash, "command": self.command,
            "rounds": [
                {
                    "round": one.round_name, "trial": one.number, "in": one.inside, "out": one.outside,
                    "point": one.point.tolist(), "values": list(one.values),
                }
                for one in self.chosen
            ],
        }  # fmt: skip
        return {
            CONFIG: as_json(self.config),
            PROVENANCE: as_json(self.provenance),
            SUMMARY: ("\n".join(self.lines()) + "\n").encode(),
            TRIALS: as_parquet(self.trials),
            DAILY: as_parquet(self.daily),
            WALK_FORWARD: as_parquet(self.walk_forward),
            WINNER_YAML: yaml.safe_dump(self.overlay, sort_keys=False, allow_unicode=True).encode(),
            WINNER_JSON: as_json(winner),
        }

    @property
    def names(self) -> frozenset[str]:
        """Names of all files of the run folder."""
        return FILES

    @classmethod
    def read(cls, study: Study, folder: Path) -> StudyResult:
        """Read what a finished study found from its folder.

        Raises
        ------
        NoDataError
            It is not finished.
        """
        import yaml

        home = folder / RESULT
        if not all((home / name).is_file() for name in FILES):
            raise NoDataError(f"The study {study.name} has no result yet. Run it: virtuoso tune {study.name}")
        told = json.loads((home / WINNER_JSON).read_bytes())
        chosen = tuple(
            Chosen(
                one["round"], one["trial"], np.array(one["point"]), tuple(one["values"]),
                {k: math.nan if v is None else v for k, v in one["in"].items()},
                {k: math.nan if v is None else v for k, v in one["out"].items()},
            )
            for one in told["rounds"]
        )  # fmt: skip
        return cls(
            study, folder, _columns(home / TRIALS), _columns(home / WALK_FORWARD), _columns(home / DAILY), chosen,
            yaml.safe_load((home / WINNER_YAML).read_bytes()), tuple(told["front"]),
            json.loads((home / CONFIG).read_bytes()), json.loads((home / PROVENANCE).read_bytes()),
            result_hash=told["result_hash"], command=told["command"], fresh=False,
        )  # fmt: skip


def _columns(path: Path) -> dict[str, np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def trials_table(study: Study, names: Sequence[str], kept: Mapping[str, Sequence[Kept]]) -> dict[str, np.ndarray]:
    """Return the columns of `trials.parquet`: a row a trial, round by round, in the order of their places.

    Parameters
    ----------
    study : Study
    names : sequence of str
        Of the space.
    kept : mapping of str to sequence of Kept
        Trials of each round.
    """
    rows = [(name, one) for name, trials in kept.items() for one in trials]
    figures = ["trades", "turnover"]
    values = np.full((len(rows), len(study.objectives)), np.nan)
    for row, (_, one) in enumerate(rows):
        values[row] = one.told.values or math.nan
    table: dict[str, np.ndarray] = {
        "number": np.array([number_of(one, study.generation) for _, one in rows], dtype=np.int64),
        "round": np.array([name for name, _ in rows], dtype=object),
        "generation": np.array([one.told.generation for _, one in rows], dtype=np.int64),
        "state": np.array([one.told.state for _, one in rows], dtype=object),
        "reason": np.array([one.outcome.reason for _, one in rows], dtype=object),
    }
    heads = ["value"] if len(study.objectives) == 1 else [f"value_{name}" for name in study.objectives]
    table |= dict(zip(heads, values.T, strict=True))
    for name in (*(f"{side}_{one}" for side in ("in", "out") for one in study.objectives), *figures):
        table[name] = np.array([one.outcome.figures.get(name, math.nan) for _, one in rows])
    points = np.array([one.told.point for _, one in rows]).reshape(len(rows), len(names))
    return table | {name: points[:, k] for k, name in enumerate(names)}


def number_of(kept: Kept, generation: int) -> int:
    """Return the number of a trial by its place; negative where it has none among the generations."""
    place = kept.told
    return place.generation * generation + place.slot if place.generation >= 0 else -1 - place.slot


def chosen_of(study: Study, round_name: str, kept: Kept) -> Chosen:
    """Return the winner of a round as it is told."""
    figures = kept.outcome.figures
    inside, outside = (
        {str(name): float(figures.get(f"{side}_{name}", math.nan)) for name in study.objectives}
        for side in ("in", "out")
    )
    number = number_of(kept, study.generation)
    return Chosen(round_name, number, kept.told.point, kept.told.values, inside, outside)


def stretch_words(days: Times) -> str:
    """Say from when to when days go."""
    return f"{iso(int(days[0]))[:10]} to {iso(int(days[-1]))[:10]}" if len(days) else "no day"

"""Tuning: a study is run, resumed or shown, and its winner is traded in full by the command that repeats it.

1. The hold-out of the study is sealed before anything of its market is read.
2. A study that was stopped goes on where it was, if the data, the space, the settings and the code of the components
   are those it began with. Else it is refused with what changed; `--anyway` begins another one, which says so.
3. What it will cost is said first. Then every trial is in the ledger of the project as soon as it is told.
4. The winner is backtested, recorded once, and saved with its `result_hash` and the command that gives the same.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

from virtuoso.clock import Env, iso
from virtuoso.config import WHOLE, Settings
from virtuoso.config.layers import Layer, Merged
from virtuoso.errors import ConfigError, NoDataError
from virtuoso.executor import executor as open_executor
from virtuoso.files.atomic import Disk
from virtuoso.project import Project, project
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.tracking.experiments import FOLDER, Trial, TrialLedger
from virtuoso.research.tracking.recording import said_if_stopped
from virtuoso.research.tuning.driver import Driver, collected
from virtuoso.research.tuning.estimate import Estimate, estimate
from virtuoso.research.tuning.evaluate import IDENTITY, Evaluator, changes
from virtuoso.research.tuning.objective import directions
from virtuoso.research.tuning.result import RESULT, WINNER, WINNER_YAML, StudyResult
from virtuoso.research.tuning.storage import JOURNAL, Trials, trials_of
from virtuoso.research.tuning.study import Study
from virtuoso.runs.write import as_json, write_run
from virtuoso.settings import SecretText
from virtuoso.signals.declared import strategy_of
from virtuoso.types import Progress
from virtuoso.workflows.data import load
from virtuoso.workflows.holdout import STUDIES, commit, seal_holdout
from virtuoso.workflows.paths import block_cache, data_root, lake, settings_of
from virtuoso.workflows.promotion import argue
from virtuoso.workflows.runs import save_run, track_study
from virtuoso.workflows.scoring import score
from virtuoso.workflows.trading import backtest

CAME_FROM = "came_from.json"
SHOWN_DIGITS = 12
Say = Callable[[str], object]

log = logging.getLogger(__name__)


@overload
def tune(study: Study | Mapping[str, Any] | str | Path, *, dry_run: Literal[True], **given: Any) -> Estimate: ...
@overload
def tune(study: Study | Mapping[str, Any] | str | Path, **given: Any) -> StudyResult: ...
def tune(  # type: ignore[misc]  # the overloads leave out what does not change with dry_run
    study: Study | Mapping[str, Any] | str | Path,
    *,
    jobs: int | None = None,
    executor: str | None = None,
    trials: int | None = None,
    storage: str | None = None,
    seed: int | None = None,
    dry_run: bool = False,
    anyway: bool = False,
    record: bool = True,
    track: bool | None = None,
    settings: Settings | None = None,
    data: str | Path | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
    options: Sequence[str] = (),
) -> StudyResult | Estimate:
    """Run a study to its end, or go on with one that was stopped; what is finished is read and given back.

    Parameters
    ----------
    study : Study, mapping, str or Path
        Its name in `configs/studies/`, the path of its file, what would stand in one, or a `Study`.
    jobs : int, optional
        Tasks at once; every core if absent. Trials and winner are the same for any number.
    executor : str, optional
        `threads` (in this process), `processes`, `dask://HOST:PORT` or `tls://HOST:PORT`.
    trials : int, optional
        Of all rounds together, in place of the study's. A finished study goes on when it is given more.
    storage : str, optional
        URL of a database for its trials, such as `postgresql://USER:${PASSWORD}@HOST/NAME`, where `${NAME}` is read
        from the environment; `tracking.studies` if absent, else the journal in the study's folder.
    seed : int, optional
        In place of the study's.
    dry_run : bool
        Whether to measure what it would cost and write nothing.
    anyway : bool
        Whether to begin another study, `NAME-2`, where this one cannot go on since something changed.
    record : bool
        Whether trials are written into the ledger of tries. What is not can never be promoted.
    track : bool, optional
        Whether it is written to MLflow at its end; as `tracking.enabled` says if absent.
    settings : Settings, optional
        In force: what is not tuned, and the prior of what is.
    data : str or Path, optional
        The data root; configuration says it if absent.
    progress : callable, optional
    say : callable, optional
        Told in sentences what it will cost, what is resumed and what was mended; the log if absent.
    options : sequence of str
        Further options of the command line with which the winner's command is written.

    Returns
    -------
    StudyResult, or Estimate of a dry run

    Raises
    ------
    ConfigError
        Data, space, settings or code changed since the study began; memory does not suffice; no such study.
    LockedError
        Its storage is locked or away, or another driver works on its journal.
    NoDataError
        Nothing is stored of its market, or no trial has a value.

    Examples
    --------
    >>> found = vt.tune("demo", trials=100)                        # doctest: +SKIP
    >>> found.to_pandas().nlargest(5, "value")                     # doctest: +SKIP
    """
    told, home = _study(study, trials, seed), project()
    chosen, speak = settings_of(settings), say or (lambda words: log.info(words))
    store = lake(data, chosen)
    if not dry_run:
        seal_holdout(told, data=data, settings=chosen)
    spent: dict[str, float] = {}
    with _timing(spent, "market"):
        evaluator = Evaluator.of(told, chosen, store, block_cache(data, chosen))
    told, evaluator, folder = _placed(told, evaluator, home, anyway, speak)
    if not dry_run:
        seal_holdout(told, data=data, settings=chosen)  # of a study that was begun anew, under its own name
    done = _finished(told, folder)
    if done is not None and not dry_run:
        speak(f"The study {told.name} is finished: {done.n_trials:,} trials. More of them: --trials {2 * told.trials}")
        if not done.verdict:  # it was stopped between the two
            argue(folder, evaluator=evaluator, settings=chosen, data=data)
        return done
    where = _storage(storage, chosen, folder)
    with ExitStack() as stack:
        seen = [home.root, data_root(data, chosen)]
        pool = stack.enter_context(open_executor(jobs, executor, seen)) if executor or jobs != 1 else None
        with _timing(spent, "estimate"):
            cost = estimate(told, evaluator, 1 if pool is None else pool.jobs, _told_so_far(folder))
        if dry_run:
            return cost
        for line in cost.lines():
            speak(line)
        cost.check()
        evaluator.write(folder)
        rounds = [one.name for one in evaluator.rounds]
        trials_ = stack.enter_context(trials_of(told.name, rounds, evaluator.space, directions(told), where, say=speak))
        _same_in_storage(trials_, evaluator, told, anyway)
        driver = Driver(told, evaluator, trials_, folder, pool, _ledger(home, record, speak), progress)
        with said_if_stopped(
            f"Every trial that was told is kept. Go on: {_again(study, told, trials, seed, anyway, options)}"
        ):
            driver.run()
            done = _finished(told, folder)
            if done is not None:  # another driver on the same database was there first
                return done
            found = collected(told, evaluator, trials_, folder, pool)
    found = replace(found, config=found.config | _came_from(folder), spent=spent | driver.spent)
    with _timing(found.spent, "winner"):
        whole = _with_winner(found, evaluator, chosen, data, record, home, options)
    with _timing(found.spent, "argument"):
        argue(folder, evaluator=evaluator, settings=chosen, data=data)
    if chosen.tracking.enabled if track is None else track:
        with _timing(found.spent, "tracking"):
            speak(track_study(whole.folder, settings=chosen).line)
    log.info("tuned", extra={"study": told.name, "trials": whole.n_trials})
    return whole


@contextmanager
def _timing(spent: dict[str, float], what: str) -> Iterator[None]:
    """Note how long something takes, seconds."""
    clock = Env()
    begun = clock.stopwatch()
    yield
    spent[what] = clock.stopwatch() - begun


def _ledger(home: Project, wanted: bool, say: Say) -> Callable[[Trial], None]:
    """Return what writes a generation into the ledger of tries; where that cannot be written, it is said once."""
    ledger, said = TrialLedger(home.root / FOLDER), [not wanted]

    def note(trial: Trial) -> None:
        try:
            if wanted:
                ledger.record(trial)
        except OSError as refused:
            if not said[0]:
                why = refused.strerror or refused
                say(f"NOT RECORDED (the ledger cannot be written: {why}): the winner can never be promoted.")
            said[0] = True

    return note


def _again(
    given: object, told: Study, trials: int | None, seed: int | None, anyway: bool, options: Sequence[str]
) -> str:
    """Write the command that goes on with a study."""
    words = ["virtuoso", "tune", str(given) if isinstance(given, str | Path) else told.name]
    for name, value in (("--trials", trials), ("--seed", seed)):
        words += [name, str(value)] if value is not None else []
    return shlex.join([*words, *(["--anyway"] if anyway else []), *options])


def _study(study: Study | Mapping[str, Any] | str | Path, trials: int | None, seed: int | None) -> Study:
    """Return a study, with another number of trials or another seed where they are given."""
    if isinstance(study, Study):
        told = study
    elif isinstance(study, Mapping):
        told = Study.of({"name": "study", **study})
    elif isinstance(study, str | Path):
        told = Study.read(study)
    else:
        raise TypeError(
            f"vt.tune runs a study: its name, its file, a mapping or a Study; was a {type(study).__name__}."
        )
    given = {name: value for name, value in (("trials", trials), ("seed", seed)) if value is not None}
    return told.changed(**given) if given else told


def _placed(study: Study, evaluator: Evaluator, home: Project, anyway: bool, say: Say) -> tuple[Study, Evaluator, Path]:
    """Find the folder of a study; refuse one that cannot go on, or begin another one beside it.

    Raises
    ------
    ConfigError
        Says what changed, from what to what.
    """
    folder = home.root / STUDIES / study.name
    changed = _changed(folder, evaluator)
    if not changed:
        return study, evaluator, folder
    if not anyway:
        raise ConfigError(
            f"The study {study.name} cannot go on, since its trials were of something else: {'; '.join(changed)}. Take "
            f"that back, or begin another one with --anyway, which is kept beside it as {study.name}-2."
        )
    number = 2
    while True:
        name = f"{study.name}-{number}"
        again = study.changed(name=name)
        other = replace(evaluator, study=again, identity=evaluator.identity | {"study": again.digest})
        beside = home.root / STUDIES / name
        if not _changed(beside, other):
            break
        number += 1
    if not (beside / IDENTITY).is_file():
        Disk().write(beside / CAME_FROM, as_json({"came_from": study.name, "changed": changed}))
        say(f"{study.name} stays as it is; {name} begins anew, since {'; '.join(changed)}.")
    return again, other, beside


def _changed(folder: Path, evaluator: Evaluator) -> list[str]:
    """Say what differs from what a study began with, from what to what; the number of trials may."""
    try:
        before = json.loads((folder / IDENTITY).read_bytes())
        written = Study.read(folder / "study.yaml")
    except (FileNotFoundError, ConfigError):
        return []
    now, found = evaluator.identity, []
    for name in changes(before, now):
        if name == "study":
            found += _differences("", written.model_dump(mode="json"), evaluator.study.model_dump(mode="json"))
        elif name == "settings":
            found += _differences("", before.get("settings in force", {}), evaluator.settings.plain())
        elif name.startswith("data of "):
            key = name.removeprefix("data of ")
            found.append(_digests(name, before.get("data", {}).get(key), now["data"].get(key)))
        else:
            said = {"code": "code of the components", "space": "search space"}[name]
            found.append(_digests(said, before.get(name), now.get(name)))
    return found


def _digests(what: str, before: object, now: object) -> str:
    one, other = (str(value)[:SHOWN_DIGITS] if value else "none" for value in (before, now))
    return f"{what} was {one}, is {other}"


def _differences(key: str, before: Any, now: Any) -> list[str]:
    """Say which values differ, by dotted key; of a study not the number of its trials."""
    if key == "trials":
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = dict.fromkeys((*before, *now))
        return [
            line
            for name in names
            for line in _differences(f"{key}.{name}" if key else str(name), before.get(name), now.get(name))
        ]
    return [] if before == now else [f"{key} was {json.dumps(before)}, is {json.dumps(now)}"]


def _same_in_storage(trials: Trials, evaluator: Evaluator, study: Study, anyway: bool) -> None:
    """Refuse trials in a storage that are of something else: another machine began this study.

    Raises
    ------
    ConfigError
    """
    own = {name: value for name, value in evaluator.identity.items() if name != "study"}
    found = trials.identified(json.loads(as_json(own)))
    differs = changes({**found, "study": ""}, {**own, "study": ""})
    if differs:
        raise ConfigError(
            f"The storage holds a study {study.name} of other {' and '.join(differs)}. Give this one another name, or "
            "pass --storage with another database."
        )


def _finished(study: Study, folder: Path) -> StudyResult | None:
    """Return what a study found that is finished with as many trials as are asked for."""
    try:
        found = StudyResult.read(study, folder)
    except NoDataError:
        return None
    return found if found.config["study"] == study.model_dump(mode="json") else None


def _told_so_far(folder: Path) -> int:
    """How many trials are in the ledger of a journal, about; 0 where it is kept elsewhere."""
    path = folder / JOURNAL
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for line in file if line.startswith(b'{"op_code":6'))


def _came_from(folder: Path) -> dict[str, Any]:
    path = folder / CAME_FROM
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _storage(given: str | None, settings: Settings, folder: Path) -> str | Path:
    """Return where trials are kept: a URL with the password that the environment holds, or the journal."""
    text = SecretText(given, os.environ) if given else settings.tracking.studies
    if text is None:
        return folder / JOURNAL
    revealed = text.reveal("--storage" if given else "tracking.studies").get_secret_value()
    if "://" not in revealed:
        raise ConfigError(
            "--storage is the URL of a database, such as postgresql://USER:${PASSWORD}@HOST/NAME or sqlite:///FILE. "
            "Leave it out for the journal in the study's folder."
        )
    return revealed


def _with_winner(
    found: StudyResult,
    evaluator: Evaluator,
    settings: Settings,
    data: str | Path | None,
    record: bool,
    home: Project,
    options: Sequence[str],
) -> StudyResult:
    """Backtest the winner, and write the result with it, whole or not at all."""
    run, command = winner_run(found, evaluator, settings, data, record, home, options)
    whole = replace(found, winner_run=run, result_hash=run.result_hash, command=command)
    target = found.folder / RESULT
    write_run(
        whole, target, replace=True,
        finish=lambda fresh: save_run(run, fresh / WINNER, settings=settings),
    )  # fmt: skip
    commit(found.study.name)
    return whole


def winner_run(
    found: StudyResult,
    evaluator: Evaluator,
    settings: Settings,
    data: str | Path | None = None,
    record: bool = True,
    home: Project | None = None,
    options: Sequence[str] = (),
) -> tuple[PortfolioResult, str]:
    """Backtest the winner of a study on its first scenario, and write the command that does the same.

    Parameters
    ----------
    found : StudyResult
    evaluator : Evaluator
    settings : Settings
        Those that the study started from.
    data : str or Path, optional
    record : bool
    home : Project, optional
    options : sequence of str
        Further options of the command.

    Returns
    -------
    tuple of PortfolioResult and str
    """
    scenario, market = next(iter(found.study.markets.items()))
    stretches = evaluator.stretches[scenario].values()
    start, end = min(first for first, _ in stretches), max(stop for _, stop in stretches)
    venues = [place.instrument for place in evaluator.places if place.scenario == scenario]
    clock = evaluator.timeframe.name
    terms = found.study.terms.given()
    if found.study.explained:
        terms["explained"] = found.study.explained
    frames = [
        load(one.symbol, clock, start=start, end=end, venue=one.venue, data=data, settings=settings) for one in venues
    ]
    given = {"data": data, "record": record, "inside": "none", **terms}
    timerange = f"{iso(start)[:10]}-{iso(end)[:10]}".replace("-", "")
    told = {"timeframe": clock, "venue": market.venue or venues[0].venue, "timerange": _dashed(timerange)}
    if found.study.strategy is not None:
        own = strategy_of(found.overlay["strategy"], found.overlay["parameters"])
        run = backtest(frames, own, settings=settings, **given)
        told["strategy"] = found.overlay["strategy"]
        params = [
            part for name, value in found.overlay["parameters"].items() for part in ("--param", f"{name}={value}")
        ]
    else:
        tuned = overlaid(settings, found.overlay)
        cache = block_cache(data, settings)
        run = backtest([score(frame, settings=tuned, cache=cache) for frame in frames], settings=tuned, **given)
        file = found.folder / RESULT / WINNER_YAML
        root = (home or project()).root
        params = ["--config", (file.relative_to(root) if file.is_relative_to(root) else file).as_posix()]
    words = ["virtuoso", "backtest", *dict.fromkeys(one.symbol for one in venues)]
    for name, value in {**told, "inside": "none", **terms}.items():
        option = f"--{name.replace('_', '-')}"
        words += [] if value is False else [option] if value is True else [option, str(value)]
    if data is not None and "--data" not in options:
        words += ["--data", str(data)]
    return run, shlex.join([*words, *options, *params])


def _dashed(days: str) -> str:
    return f"{days[:8]}-{days[8:]}"


def overlaid(settings: Settings, overlay: Mapping[str, Any]) -> Settings:
    """Return settings with what a file for `-c` would say laid over them."""
    merged = Merged(WHOLE)
    merged.add(Layer("settings", settings.masked()))
    merged.add(Layer("winner", overlay))
    found = Settings.model_validate(merged.tree)
    return settings.model_copy(update={"prism": found.prism, "signals": found.signals})

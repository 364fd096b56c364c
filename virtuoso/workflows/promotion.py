"""Promotion: a finished study argues against itself, and its winner becomes a file of the project only if it passes.

1. `argue` gathers the evidence of a study, asks the gate, and writes what came of it into its result: `honesty.json`,
   `verdict.json`, `study.html`, `study.pdf`. `tune` does it at its end; it is done anew before every promotion, since
   more may have been tried meanwhile.
2. `promote` writes weights or a strategy with their certificate where the gate was passed. Else it refuses, and says
   what failed. What is forced past the gate says so for ever, in the file and wherever it is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.clock import Env, iso
from virtuoso.config import Settings
from virtuoso.config.sources import read_yaml
from virtuoso.errors import ConfigError, DataError, NoDataError, RefusedError, did_you_mean
from virtuoso.files.atomic import Disk
from virtuoso.prism.engine.score import score
from virtuoso.prism.registry import prism_from
from virtuoso.prism.settings import PrismSettings
from virtuoso.prism.weights import Certificate, Standard
from virtuoso.project import project
from virtuoso.reports.study.write import write_study_report
from virtuoso.research.promotion.argument import Argument, argued
from virtuoso.research.promotion.certificate import certificate_of
from virtuoso.research.promotion.gathering import gathered
from virtuoso.research.promotion.outsiders import outsiders
from virtuoso.research.promotion.promote import (
    STRATEGIES,
    WEIGHTS,
    settings_file,
    strategy_file,
    weights_file,
    write_promoted,
)
from virtuoso.research.tracking.holdouts import holdout_record
from virtuoso.research.tuning.evaluate import IDENTITY, Evaluator, read_evaluator
from virtuoso.runs.catalog import LAST
from virtuoso.runs.schema import HONESTY, TRIALS, VERDICT
from virtuoso.runs.schema import WINNER as WINNER_FACTS
from virtuoso.runs.write import as_json
from virtuoso.workflows.paths import block_cache, lake, settings_of
from virtuoso.workflows.runs import track_promotion

STUDIES, RESULT, WINNER = Path("experiments") / "studies", "result", "winner.yaml"
SHOWN_REASONS = 4
"""Reasons that a refusal names; the report has all."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Promotion:
    """What a promotion wrote.

    Attributes
    ----------
    study : str
    files : tuple of Path
        The weights or the strategy, and the settings that go with them.
    certificate : Certificate
    argument : Argument
    folder : Path
        Result of the study, with its report.
    """

    study: str
    files: tuple[Path, ...]
    certificate: Certificate
    argument: Argument = field(repr=False)
    folder: Path = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        certificate = self.certificate.model_dump(mode="json", exclude_none=True)
        told = {"study": self.study, "files": [str(file) for file in self.files], "certificate": certificate}
        return {**told, "forced": self.certificate.forced, "verdict": self.argument.told()}


def argue(
    run: str | Path,
    *,
    evaluator: Evaluator | None = None,
    settings: Settings | None = None,
    data: str | Path | None = None,
) -> Argument:
    """Judge a finished study against everything that was tried by now, and write its report.

    Parameters
    ----------
    run : str or Path
        A study's name, its folder, or `last`.
    evaluator : Evaluator, optional
        That of the study; made from its folder if absent.
    settings : Settings, optional
    data : str or Path, optional
        The data root; configuration says it if absent.

    Returns
    -------
    Argument

    Raises
    ------
    NoDataError
        There is no such study, or it is not finished.
    DataError
        Its data, its space or its code is not what it was tuned on.
    """
    folder, chosen = study_folder(run), settings_of(settings)
    home = lake(data, chosen)
    laid = evaluator or _evaluator(folder, chosen, data)
    result = folder / RESULT
    winner = np.array([one["point"] for one in _facts(result / WINNER_FACTS)["rounds"]][-1], dtype=np.float64)
    known = gathered(
        result, laid, outsiders=outsiders(laid, winner, home), holdout=holdout_record(laid.study.name)
    )  # fmt: skip
    argument = argued(
        known.evidence, known.baselines, known.recording, simulated=known.simulated, env=Env(seed=laid.study.seed)
    )
    disk = Disk()
    disk.write(result / HONESTY, as_json(argument.honesty()))
    disk.write(result / VERDICT, as_json(argument.told()))
    write_study_report(result)
    log.info("judged", extra={"study": laid.study.name, "decision": argument.verdict.decision.value})
    return argument


def promote(
    run: str | Path,
    name: str | None = None,
    *,
    force: bool = False,
    settings: Settings | None = None,
    data: str | Path | None = None,
) -> Promotion:
    """Write the winner of a study into the project's `configs/`, with its certificate, if it passes the gate.

    Parameters
    ----------
    run : str or Path
        A study's name, its folder, or `last`.
    name : str, optional
        Of the file; that of the study if absent.
    force : bool
        Whether to write it although the gate refuses; the file says so for ever.
    settings : Settings, optional
    data : str or Path, optional

    Returns
    -------
    Promotion

    Raises
    ------
    RefusedError
        The gate refused it; says what failed. Nothing is written but the report.
    ConfigError
        A file of that name is there and holds something else.
    NoDataError
        There is no such study, or it is not finished.

    Examples
    --------
    >>> vt.promote("default").files                                # doctest: +SKIP
    """
    folder, chosen = study_folder(run), settings_of(settings)
    wanted = name or folder.name
    if not NAME.fullmatch(wanted):
        raise ConfigError(f"{wanted!r} is no name for a file: letters, digits, dots, dashes and underscores.")
    laid = _evaluator(folder, chosen, data)
    argument = argue(folder, evaluator=laid, settings=chosen, data=data)
    if not argument.passed and not force:
        raise RefusedError(_refusal(argument, folder))
    overlay = read_yaml(folder / RESULT / WINNER, project().root).tree
    files, certificate = _files(wanted, overlay, laid, argument, folder)
    written = write_promoted({project().root / path: text for path, text in files.items()})
    if chosen.tracking.enabled:
        track_promotion(folder, written[0], forced=certificate.forced, settings=chosen)
    log.info("promoted", extra={"study": folder.name, "file": str(written[0]), "forced": certificate.forced})
    return Promotion(folder.name, tuple(written), certificate, argument, folder / RESULT)


def study_folder(run: str | Path) -> Path:
    """Return the folder of a study: by its name, by its path, by that of its result, or `last`.

    Raises
    ------
    NoDataError
        There is none, or it is not finished.
    """
    home = project().root / STUDIES
    if str(run) == LAST:
        finished = [one for one in home.glob("[!.]*") if (one / RESULT / TRIALS).is_file()]
        if not finished:
            raise NoDataError(f"No study is finished in {home}. Run one: virtuoso tune demo")
        return max(finished, key=lambda one: (one / RESULT / TRIALS).stat().st_mtime_ns)
    given = Path(run)
    for folder in (home / str(run), given, given.parent):
        if (folder / RESULT / TRIALS).is_file():
            return folder.resolve()
    names = sorted(one.name for one in home.glob("[!.]*") if one.is_dir())
    if str(run) in names:
        raise NoDataError(f"The study {run} is not finished. Go on with it: virtuoso tune {run}")
    hint = did_you_mean(str(run), names)
    raise NoDataError(f"There is no study {str(run)!r} in {home}. {hint} Try: virtuoso tune {run}")


def _evaluator(folder: Path, settings: Settings, data: str | Path | None) -> Evaluator:
    """Lay a study over its markets as they are; what changed since it was tuned is refused."""
    try:
        return read_evaluator(folder, lake(data, settings), block_cache(data, settings))
    except DataError as changed:
        if isinstance(changed, NoDataError):
            raise
        raise DataError(
            f"{changed} What would be certified is not what was tuned. Tune it again: virtuoso tune {folder.name} "
            "--anyway"
        ) from None


def _refusal(argument: Argument, folder: Path) -> str:
    """Say what failed, and where the rest stands."""
    reasons = [gate.reason for gate in argument.verdict.gates if gate.needed and not gate.passed]
    many = f"{len(reasons)} of {sum(gate.needed for gate in argument.verdict.gates)} questions failed"
    rest = len(reasons) - SHOWN_REASONS
    first = "; ".join([*reasons[:SHOWN_REASONS], *([f"and {rest} more"] if rest > 0 else [])])
    return (
        f"The gate refuses {argument.evidence.study}, {many}: {first}. All are in {folder / RESULT}/study.html. "
        "--force writes it all the same, and says so in the file for ever."
    )


def _files(
    name: str, overlay: Mapping[str, Any], laid: Evaluator, argument: Argument, folder: Path
) -> tuple[dict[Path, str], Certificate]:
    """Return the files of a promotion by their path in the project, and the certificate in them."""
    identity, day = _facts(folder / IDENTITY), iso(Env().now_ms())[:10]
    result_hash = str(_facts(folder / RESULT / WINNER_FACTS).get("result_hash") or "")
    if laid.study.strategy is not None:
        prism = hashlib.sha256(as_json([overlay["strategy"], overlay["parameters"]])).hexdigest()
        certificate = certificate_of(argument, identity, day, prism=prism, result_hash=result_hash)
        return {STRATEGIES / f"{name}.yaml": strategy_file(overlay, certificate)}, certificate
    in_force = laid.settings.prism
    tuned = PrismSettings.model_validate(_laid_over(in_force.model_dump(mode="json"), overlay["prism"]))
    prism_ = prism_from(tuned)
    certificate = certificate_of(argument, identity, day, prism=prism_.fingerprint, result_hash=result_hash)
    points = np.concatenate(
        [score(prism_, laid.part(k).loaded.frame).confluence for k in range(len(laid.places))]
    )  # fmt: skip
    known = points[np.isfinite(points)]
    spread = float(known.std()) if len(known) > 1 else 0.0
    standard = Standard(mean=float(known.mean()), sd=spread) if spread > 0.0 else None
    clocks = {str(clock): share for clock, share in tuned.timeframes.items()}
    horizon = in_force.model_dump(mode="json")["horizon"] or laid.study.model_dump(mode="json")["horizon"]
    text = weights_file(overlay, clocks, horizon, standard, certificate)
    files = {WEIGHTS / f"{name}.yaml": text}
    if laid.study.search.thresholds or laid.study.search.levels:
        files[Path("configs") / f"{name}.yaml"] = settings_file(name, overlay["signals"])
    return files, certificate


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over others; timeframes are replaced as a whole, and what was shown of the others holds no more."""
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        mixed = isinstance(value, Mapping) and isinstance(known, Mapping) and key != "timeframes"
        merged[key] = _laid_over(known, value) if mixed else value  # type: ignore[arg-type]
    merged.pop("certificate", None)
    merged.pop("standard", None)
    return merged


def _facts(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise NoDataError(f"{file} is not there: the study is not finished. Go on with it: virtuoso tune")
    found: dict[str, Any] = json.loads(file.read_bytes())
    return found

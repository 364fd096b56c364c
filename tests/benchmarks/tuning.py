"""Tuning against the naive way: trials a second end to end, in one run.

    python -m tests.benchmarks.tuning [--days 365] [--trials 2000] [--only ROW] [--out FILE.md]

Ours is `virtuoso tune` as a user starts it: walk-forward, every trial in the journal, the ledger and the tracking
store, the winner backtested. The naive way is what tutorials show: Optuna asks for one trial, the confluence is the
product of scores and weights, vectorbt trades it and makes its statistics, and a nested MLflow run keeps parameters and
metrics. It walks nothing forward. Each row runs in a process of its own; the market and its scores are there before the
clock starts. The naive rows are timed for some trials and extrapolated, which the table says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

OURS = ("cmaes", "qmc", "random", "tpe")
NAIVE = ("numba", "rust")
TIMED = 200
"""Trials of the naive way that are timed."""
SEED = 7
ENTER, LEAVE = 62.0, 52.0
STUDY = """\
name: bench-{sampler}
market: {{symbols: [BTCUSDT], venue: simulated, timeframe: 1m}}
search: {{weights: [faces, components], thresholds: [enter, leave]}}
objectives: [sharpe]
sampler: {sampler}
trials: {trials}
walk_forward: {{splits: 4}}
terms: {{mark: last}}
seed: 7
"""


def prepare(root: Path, days: int) -> None:
    """Put a simulated year of minutes into a project of its own."""
    from virtuoso import workflows
    from virtuoso.venues.simulator import record, write_recordings

    (root / "virtuoso.toml").touch()
    files = write_recordings(root / "raw", record(["BTCUSDT"], days, SEED, trade_days=0, book_days=0))
    workflows.import_files(files, venue="simulated", data=root / "data")


def ours(root: Path, sampler: str, trials: int) -> dict[str, Any]:
    """Tune by the command line's own workflow, in this process."""
    import virtuoso as vt

    study = root / f"{sampler}.yaml"
    study.write_text(STUDY.format(sampler=sampler, trials=trials), encoding="utf-8")
    os.chdir(root)
    begin, cpu = time.perf_counter(), time.process_time()
    result = vt.tune(study, data=root / "data", jobs=2)
    loop = ("sampler", "storage", "evaluation", "ledger")
    return {
        "trials": len(result.to_pandas()),
        "trials_s": sum(result.spent[name] for name in loop),
        "wall": time.perf_counter() - begin,
        "cpu": time.process_time() - cpu,
        "parts": dict(result.spent),
    }


def naive(root: Path, engine: str, trials: int) -> dict[str, Any]:
    """One Optuna trial, one vectorbt portfolio with statistics and one nested MLflow run at a time."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_UV_AUTO_DETECT": "false"}
    import mlflow
    import optuna
    import pandas as pd
    import vectorbt

    import virtuoso as vt

    frame = vt.load("BTCUSDT", "1m", venue="simulated", data=root / "data")
    scores = vt.score(frame)
    points = {name: scores[name].to_numpy() for name, _, _ in scores.prism}
    points = {name: values for name, values in points.items() if np.isfinite(values).mean() > 0.5}
    table = np.nan_to_num(np.column_stack(list(points.values())), nan=50.0)
    index = pd.DatetimeIndex(frame.df.index.tz_convert(None))[-len(table) :]
    prices = {name: pd.Series(frame.df[name].to_numpy()[-len(table) :], index).ffill() for name in ("open", "close")}
    mlflow.set_tracking_uri(f"sqlite:///{root / f'naive-{engine}.db'}")
    mlflow.set_experiment("naive")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        weights = np.array([trial.suggest_float(name, 0.0, 1.0) for name in points])
        enter = trial.suggest_float("enter", 55.0, 75.0)
        total = table @ (weights / weights.sum())
        portfolio = vectorbt.Portfolio.from_signals(
            prices["close"], entries=total >= enter, exits=total < LEAVE, short_entries=total <= 100.0 - enter,
            short_exits=total > 100.0 - LEAVE, price=prices["open"].shift(-1).ffill(), fees=0.0005, slippage=0.0002,
            init_cash=10_000.0, freq="1min", engine=engine,
        )  # fmt: skip
        stats = portfolio.stats()
        kept = {
            k.replace("[%]", "pct").replace(" ", "_"): float(v)
            for k, v in stats.items()
            if np.isscalar(v) and np.isreal(v)
        }
        with mlflow.start_run(nested=True):
            mlflow.log_params(trial.params)
            mlflow.log_metrics({name: value for name, value in kept.items() if np.isfinite(value)})
        value = float(stats["Sharpe Ratio"])
        return value if np.isfinite(value) else -10.0

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    with mlflow.start_run():
        study.optimize(objective, n_trials=2)  # compiles
        begin, cpu = time.perf_counter(), time.process_time()
        study.optimize(objective, n_trials=TIMED)
        wall, spent = time.perf_counter() - begin, time.process_time() - cpu
    share = trials / TIMED
    return {"trials": trials, "timed": TIMED, "wall": wall * share, "cpu": spent * share}


def row(root: Path, name: str, trials: int) -> None:
    """Run one row in this process and print what it took."""
    found = ours(root, name, trials) if name in OURS else naive(root, name.removeprefix("naive-"), trials)
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def table(rows: dict[str, dict[str, Any]], trials: int, days: int) -> str:
    """Write the rows as Markdown."""
    base = rows.get("naive-numba", {}).get("wall")
    machine = f"{os.cpu_count()} processors, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "cmaes", "mlflow", "vectorbt", "numba"))
    lines = [
        "# Benchmark of tuning", "", "Made by `python -m tests.benchmarks.tuning`; no figure is typed by hand.", "",
        f"{trials:,} trials over {days} days of simulated 1m bars; {machine}; {versions}.", "",
        "| way | trials, s | ms a trial | times faster | whole command, s | CPU s | times faster | memory MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, found in rows.items():
        mark, loop = "~" if "timed" in found else "", found.get("trials_s", found["wall"])
        times = [f"{base / one:.1f}" if base else "" for one in (loop, found["wall"])]
        lines.append(
            f"| {name} | {mark}{loop:,.1f} | {1e3 * loop / found['trials']:.2f} | {times[0]} "
            f"| {mark}{found['wall']:,.1f} | {mark}{found['cpu']:,.1f} | {times[1]} | {found['memory_mb']:,.0f} |"
        )
    parts = [f"{name}: " + ", ".join(f"{what} {s:.1f}" for what, s in found["parts"].items())
             for name, found in rows.items() if "parts" in found]  # fmt: skip
    return "\n".join([*lines, "", *(f"- {one}" for one in parts), "", *WORDS])


WORDS = (
    f"`~`: {TIMED} trials timed, the rest extrapolated. The naive way starts with its scores at hand, walks nothing",
    "forward and judges nothing: Optuna asks for a trial, NumPy weighs the scores, vectorbt trades and makes its",
    "statistics, a nested MLflow run keeps them. *Trials* of ours are sampler, storage, evaluation and ledger, all",
    "rounds of the walk-forward included; the *whole command* also loads and scores the market, backtests and judges",
    "the winner, argues (page and PDF) and writes to MLflow (seconds of each in the list above).",
)


def main() -> None:
    """Run the rows, each in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--only", action="append")
    parser.add_argument("--row")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    if told.row:
        row(told.root, told.row, told.trials)
        return
    names = told.only or [*(f"naive-{engine}" for engine in NAIVE), *OURS]
    with tempfile.TemporaryDirectory() as made:
        root = told.root or Path(made)
        if not (root / "data").exists():
            prepare(root, told.days)
        rows = {}
        for name in names:
            command = [sys.executable, "-m", "tests.benchmarks.tuning", "--row", name, "--root", str(root)]
            done = subprocess.run([*command, "--trials", str(told.trials)], capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name}: {done.stderr[-2000:]}", file=sys.stderr)
                continue
            rows[name] = json.loads(done.stdout.splitlines()[-1])
            print(name, rows[name], file=sys.stderr)
    text = table(rows, told.trials, told.days)
    print(text) if told.out is None else told.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

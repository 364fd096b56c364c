"""A nursery of command lines that die: it imports once, then forks a child for every run and kills it with SIGKILL.

`python -m tests.faults.run_killers ROOT SEED KILLS VERB ...` works in a folder with a market below `data/`, prints one
line of JSON a kill, and one for each run that was let live afterwards. A verb that is named twice dies twice as often.
It is a process of its own, since a test runner may have threads.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from virtuoso.cli import main
from virtuoso.files.atomic import Disk
from virtuoso.research.sweep import result
from virtuoso.runs import schema

SAME = ("BTCUSDT", "-i", "5m", "--venue", "simulated", "-c", "few.yaml", "--data", "data", "-q")
TERMS = ("--assume-funding", "0.0001", "--mark", "last")
COMMANDS = {
    "score": ("score", *SAME, "--out", "data/scores/mine.parquet"),
    "backtest": ("backtest", *SAME, *TERMS, "--inside", "none"),
    "sweep": ("sweep", *SAME, *TERMS, "--configurations", "8"),
}
STEPS = {"backtest": 90, "sweep": 50}
"""How many steps a run does on the disk, about: half of the kills come before one of them."""
EVERY = 5
"""Kills after which a run is let live."""
SCORES = Path("data/scores/mine.parquet")
WHOLE = {"": schema.WHOLE, "_sweep": result.NAMES | {"daily.parquet"}}


def arguments(verb: str, k: int) -> list[str]:
    """A command that nobody ran yet; a score is the same one, of other bars."""
    if verb == "score":
        return [*COMMANDS[verb], "--timerange", f"20250101-{20250103 + k % 2}"]
    return [*COMMANDS[verb], "--slippage", f"{0.0001 + k * 1e-6:.6f}"]


def born(given: list[str], step: int | None = None) -> int:
    """Fork a child that runs a command; it kills itself before a step on the disk, if one is named."""
    pid = os.fork()
    if pid:
        return pid
    out = os.open("out.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    if step is not None:
        left = [step]

        def count(self: Disk, name: str, path: Path) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        Disk.step = count  # type: ignore[method-assign]
    code = 1
    try:
        code = main(given)
        sys.stdout.flush()
    finally:
        os._exit(code)


def died(given: list[str], after: float | int) -> bool:
    """Run a command and kill it after seconds, or before a step; say whether it was still alive."""
    pid = born(given, after if isinstance(after, int) else None)
    until = time.monotonic() + (after if isinstance(after, float) else 60.0)
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.WIFSIGNALED(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


def lived(given: list[str]) -> tuple[int, float]:
    """Let a command end; give its exit code and the seconds it took."""
    began = time.monotonic()
    _, status = os.waitpid(born(given), 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - began


def left() -> list[str]:
    """Temporary files anywhere in the project."""
    return sorted(str(path) for path in Path().rglob("*") if path.suffix in (".tmp", ".old"))


def state() -> dict[str, Any]:
    """What a reader sees: runs, those that are not whole, scores that cannot be read, and the ledger."""
    runs, half = list(Path("reports/runs").glob("[!.]*")), []
    for run in runs:
        files = {file.name for file in run.iterdir() if file.stat().st_size}
        if files != WHOLE["_sweep" if "_sweep_" in run.name else ""]:
            half.append(run.name)
    if SCORES.exists():
        try:
            pq.read_table(SCORES)
        except OSError:
            half.append(SCORES.name)
    trials = [json.loads(path.read_bytes()) for path in Path("experiments/trials").glob("[!.]*.json")]
    return {"runs": len(runs), "half": half, "trials": len(trials)}


def digest() -> str:
    """Of the scores on file."""
    return hashlib.sha256(SCORES.read_bytes()).hexdigest()


def kills(seed: int, count: int, verbs: list[str]) -> Iterator[dict[str, Any]]:
    """Kill that many runs, in turn, at moments that the seed says."""
    chance, seconds, right = random.Random(seed), {}, {}
    kinds = list(dict.fromkeys(verbs))
    for verb in kinds:
        with redirect_stdout(io.StringIO()):
            main(arguments(verb, 0))  # so that children inherit what is compiled
        if verb == "score":
            right[0] = digest()
        seconds[verb] = lived(arguments(verb, 1))[1]
        if verb == "score":
            right[1] = digest()
    for k in range(2, count + 2):
        verb = verbs[k % len(verbs)]
        if chance.random() < 0.3:
            shutil.rmtree("data/scores/blocks", ignore_errors=True)  # so that some die while they fill the cache
        after = chance.uniform(0.0, 1.1 * seconds[verb])
        if verb in STEPS and chance.random() < 0.5:
            after = chance.randrange(STEPS[verb])
        before = state()
        killed = died(arguments(verb, k), after)
        yield {"verb": verb, "after": after, "killed": killed, "shown": Path("out.txt").stat().st_size > 0,
               "before": before, **state()}  # fmt: skip
        if k % EVERY == 0:
            yield _after(verb, k, before, right)
    for verb in kinds:  # each sweeps the leftovers of its own kind
        yield _after(verb, count + 2, state(), right)
    yield {"left": left()}


def _after(verb: str, k: int, before: dict[str, Any], right: dict[int, str]) -> dict[str, Any]:
    """Let a run live, and say what is there then."""
    code, _ = lived(arguments(verb, k))
    same = verb != "score" or not right or digest() == right[k % 2]
    return {"verb": verb, "lived": True, "code": code, "same": same, "before": before, **state()}


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    for found in kills(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]):
        print(json.dumps(found), flush=True)

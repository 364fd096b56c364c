"""What a start costs: the command line, the library, and all compilation on a fresh machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

VIRTUOSO = Path(sys.executable).with_name("virtuoso")

DEMO = """
import collections, json, sys, time
from numba.core import event
from virtuoso.cli import main

class Compiling(event.Listener):
    def __init__(self):
        self.since, self.callees, self.seconds = [], [], collections.Counter()
    def on_start(self, event):
        self.since.append(time.thread_time())
        self.callees.append(0.0)
    def on_end(self, event):
        took, function = time.thread_time() - self.since.pop(), event.data["dispatcher"].py_func
        self.seconds[function.__module__] += took - self.callees.pop()
        if self.callees:
            self.callees[-1] += took

compiling = Compiling()
event.register("numba:compile", compiling)
main(["demo", "--days", "3", "--data", sys.argv[1] + "/data", "--out", sys.argv[1] + "/pages"])
print(json.dumps(compiling.seconds))
"""
"""The demo, and seconds of CPU that compiling took in it by module, on its last line."""


def run(*command: str, **env: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})
    return done.stdout


def test_help(benchmark):
    benchmark.pedantic(run, args=(str(VIRTUOSO), "--help"), rounds=7, warmup_rounds=1)


def test_peer_python_itself(benchmark):
    benchmark.pedantic(run, args=(sys.executable, "-c", "pass"), rounds=7, warmup_rounds=1)


def test_all_compilation_of_the_demo(benchmark, tmp_path):
    """Runs a short demo with an empty numba cache, as on a fresh clone, and tells what of it was compiling."""
    command = (sys.executable, "-c", DEMO, str(tmp_path))
    told = benchmark.pedantic(run, args=command, kwargs={"NUMBA_CACHE_DIR": str(tmp_path / "cache")}, rounds=1)
    seconds = json.loads(told.splitlines()[-1])
    benchmark.extra_info["compiling, s of CPU"] = {"all": sum(seconds.values()), **seconds}
    print(f"\ncompiling: {sum(seconds.values()):.1f} s of CPU")
    for module, took in sorted(seconds.items(), key=lambda each: -each[1])[:12]:
        print(f"  {took:5.2f} {module}")


def test_all_compilation_of_the_prism(benchmark, tmp_path):
    """Scores one small market with an empty numba cache: what the first run on a fresh clone pays."""
    program = (
        "from tests.builders import market; from virtuoso.prism.prism import Prism; Prism.standard().score(market())"
    )
    benchmark.pedantic(run, args=(sys.executable, "-c", program), kwargs={"NUMBA_CACHE_DIR": str(tmp_path)}, rounds=1)


def test_the_same_when_compiled(benchmark):
    program = (
        "from tests.builders import market; from virtuoso.prism.prism import Prism; Prism.standard().score(market())"
    )
    benchmark.pedantic(run, args=(sys.executable, "-c", program), rounds=3, warmup_rounds=1)

"""What a start costs: the command line, the library, and all compilation on a fresh machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

VIRTUOSO = Path(sys.executable).with_name("virtuoso")

LISTEN = """
import collections, json, sys, time
from numba.core import event

class Compiling(event.Listener):
    def __init__(self):
        self.since, self.callees, self.seconds, self.waited = [], [], collections.Counter(), 0.0
    def on_start(self, event):
        if not self.since:
            self.began = time.perf_counter()
        self.since.append(time.thread_time())
        self.callees.append(0.0)
    def on_end(self, event):
        took, function = time.thread_time() - self.since.pop(), event.data["dispatcher"].py_func
        self.seconds[function.__module__] += took - self.callees.pop()
        if self.callees:
            self.callees[-1] += took
        else:
            self.waited += time.perf_counter() - self.began

compiling = Compiling()
event.register("numba:compile", compiling)
"""
TELL = "print(json.dumps([compiling.waited, compiling.seconds]))"
DEMO = f"""{LISTEN}
from virtuoso.cli import main
main(["demo", "--days", "3", "--data", sys.argv[1] + "/data", "--out", sys.argv[1] + "/pages"])
{TELL}
"""
WARM = f"""{LISTEN}
from virtuoso.precompile import warm
warm()
{TELL}
"""
"""The demo, and what `make demo` runs beside it; on the last line how long each compiled, and its CPU by module."""


def run(*command: str, **env: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **env})
    return done.stdout


def test_help(benchmark):
    benchmark.pedantic(run, args=(str(VIRTUOSO), "--help"), rounds=7, warmup_rounds=1)


def test_peer_python_itself(benchmark):
    benchmark.pedantic(run, args=(sys.executable, "-c", "pass"), rounds=7, warmup_rounds=1)


def test_all_compilation_of_the_demo(benchmark, tmp_path):
    """Runs a short demo with an empty numba cache, as `make demo` does on a fresh clone: what of it was compiling."""
    env = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def demo():
        beside = subprocess.Popen(
            (sys.executable, "-c", WARM), stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
        )
        told = run(sys.executable, "-c", DEMO, str(tmp_path), **env), beside.communicate()[0]
        assert beside.returncode == 0
        return [json.loads(each.splitlines()[-1]) for each in told]

    both = benchmark.pedantic(demo, rounds=1)
    for name, (waited, seconds) in zip(("the demo", "beside it"), both, strict=True):
        benchmark.extra_info[f"compiling, {name}, s of CPU"] = {"all": sum(seconds.values()), **seconds}
        print(f"\ncompiling, {name}: {sum(seconds.values()):.1f} s of CPU, {waited:.1f} s by the clock")
        for module, took in sorted(seconds.items(), key=lambda each: -each[1])[:8]:
            print(f"  {took:5.2f} {module}")


def test_all_compilation_of_the_prism(benchmark, tmp_path):
    """Scores one small market with an empty numba cache: what the first run on a fresh clone pays."""
    program = (
        "from tests.builders import market; from virtuoso.prism.engine.score import score; "
        "from virtuoso.prism.prism import Prism; score(Prism.classic(), market())"
    )
    benchmark.pedantic(run, args=(sys.executable, "-c", program), kwargs={"NUMBA_CACHE_DIR": str(tmp_path)}, rounds=1)


def test_the_same_when_compiled(benchmark):
    program = (
        "from tests.builders import market; from virtuoso.prism.engine.score import score; "
        "from virtuoso.prism.prism import Prism; score(Prism.classic(), market())"
    )
    benchmark.pedantic(run, args=(sys.executable, "-c", program), rounds=3, warmup_rounds=1)

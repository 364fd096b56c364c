"""What a start costs: the command line, the library, and all compilation on a fresh machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VIRTUOSO = Path(sys.executable).with_name("virtuoso")


def run(*command: str, **env: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env})


def test_help(benchmark):
    benchmark.pedantic(run, args=(str(VIRTUOSO), "--help"), rounds=7, warmup_rounds=1)


def test_peer_python_itself(benchmark):
    benchmark.pedantic(run, args=(sys.executable, "-c", "pass"), rounds=7, warmup_rounds=1)


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

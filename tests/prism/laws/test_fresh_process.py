"""A fresh process finds what a program defines, and answers as this one would but for its world."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest

import virtuoso
from virtuoso.prism.laws.fresh_process import SHIFT_S, ZONE, FreshProcess, LostError, in_fresh_process

PROGRAM = """
from virtuoso.prism.laws.fresh_process import in_fresh_process

class Rule:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x

def ask(rule, x):
    return rule(x)

{guard}
    print(in_fresh_process(ask, Rule(3), 14))
"""


def world() -> tuple[datetime.datetime, str, str]:
    return datetime.datetime.now(datetime.UTC), os.environ.get("TZ", ""), str(Path.cwd())


def ends() -> None:
    raise SystemExit("enough")


def run(folder: Path, guard: str) -> str:
    file = folder / "program.py"
    file.write_text(PROGRAM.format(guard=guard))
    env = {**os.environ, "PYTHONPATH": str(Path(virtuoso.__file__).parents[1])}
    return subprocess.check_output([sys.executable, str(file)], env=env, text=True, cwd=folder)


def test_what_a_program_defines_is_found_there(tmp_path):
    assert run(tmp_path, "if __name__ == '__main__':").strip() == "(42, '')"


def test_a_program_without_a_guard_is_told_so(tmp_path):
    told = run(tmp_path, "if True:")
    assert told.startswith("(None, ")
    assert "under __name__ == '__main__'" in told


def test_a_moment_comes_back_as_a_moment():
    now, zone, folder = world()
    (later, other_zone, same_folder), obstacle = in_fresh_process(world)
    assert obstacle == ""
    assert type(later) is datetime.datetime
    assert later - now >= datetime.timedelta(seconds=SHIFT_S)
    assert (other_zone, same_folder) == (zone, folder)


def test_away_from_home_zone_and_folder_are_others():
    with FreshProcess(world) as process:
        _, zone, folder = process.result()
    assert zone == ZONE
    assert folder != str(Path.cwd())


def test_a_process_that_ends_early_is_lost():
    with FreshProcess(ends) as process, pytest.raises(LostError, match="enough"):
        process.result()
    answer, obstacle = in_fresh_process(ends)
    assert answer is None
    assert "ended early (enough)" in obstacle

"""What may be installed: no version with a known hole, nothing that is not pinned by its hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FLOORS = {Requirement(text).name.lower(): Requirement(text) for text in DECLARED["dependencies"]}
LOCKED = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))

HOLES = {
    "jinja2": ("3.1.5", "CVE-2025-27516: templates leave the sandbox"),
    "pyarrow": ("23.0.0", "CVE-2026-25087: use after free in the reader of IPC files"),
    "mlflow": ("3.10.1", "CVE-2026-2651: artifacts of others can be overwritten; 3.9 and before read any file"),
    "fastapi": ("0.120.0", "takes Starlette before 0.49.1, CVE-2025-62727: ranges that never end"),
    "python-dotenv": ("1.2.1", "CVE-2026-28684: writes through symbolic links"),
    "orjson": ("3.11.5", "CVE-2025-67221: recursion without end in nested documents"),
}
"""The newest version of each library that has a published hole, and which."""


@pytest.mark.parametrize("name", HOLES)
def test_a_version_with_a_known_hole_is_not_admitted(name: str):
    version, hole = HOLES[name]
    assert not FLOORS[name].specifier.contains(version), f"{name} {version}: {hole}"


def test_every_library_has_a_floor_that_the_lock_keeps():
    for name, declared in FLOORS.items():
        assert any(one.operator == ">=" for one in declared.specifier), name
        assert declared.specifier.contains(LOCKED[name.replace("_", "-")]), name


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-uv.txt"])
def test_what_is_installed_is_pinned_by_its_hash_and_names_no_index(lock: str):
    text = (ROOT / lock).read_text()
    pinned = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "://" not in text


def test_the_installer_is_pinned_too():
    steps = [line for line in (ROOT / "Makefile").read_text().splitlines() if re.search(r"pip install\b", line)]
    assert steps
    assert all("--require-hashes" in line or "--no-deps -e ." in line for line in steps)

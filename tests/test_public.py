"""Public means listed, typed and lazy."""

from __future__ import annotations

import subprocess
import sys

import pytest

import virtuoso as vt


def test_everything_listed_is_there_and_nothing_else_is_public():
    assert vt.__all__ == sorted(vt.__all__)
    assert sorted(vt._HOMES) == vt.__all__
    for name in vt.__all__:
        assert getattr(vt, name) is not None


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="scoree"):
        vt.scoree  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    heavy = {"numpy", "pandas", "numba", "talib", "vectorbt", "matplotlib", "mlflow", "duckdb", "pydantic", "sklearn"}
    program = f"import sys, virtuoso; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"

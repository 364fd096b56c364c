"""The tree: no circle of files, no folder that nobody can look over, and a line that says what each package is."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import virtuoso

HOME = Path(virtuoso.__file__).parent
FOLDERS = sorted({file.parent for file in HOME.rglob("*.py")})
MOST_FILES = 16


def test_no_files_import_each_other_in_a_circle():
    """Imports for types and inside functions count: a circle is one, however late it is closed."""
    graph = grimp.build_graph("virtuoso", cache_dir=None, exclude_type_checking_imports=False)
    front_door = {"virtuoso"}  # names every package, and is imported by whoever asks for the version
    imports = {
        module: graph.find_modules_directly_imported_by(module) - front_door for module in graph.modules - front_door
    }
    assert sum(map(len, imports.values())) > 1_000
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(f"These import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(HOME.parent)))
class TestAFolder:
    def test_holds_at_most_sixteen_files(self, folder: Path):
        assert len(list(folder.glob("*.py"))) <= MOST_FILES

    def test_says_what_it_is(self, folder: Path):
        words = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert words
        assert len(words.splitlines()[0]) > 10

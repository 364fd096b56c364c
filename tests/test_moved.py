"""Old names of modules: whoever imports one reads the new name, and the new name is there."""

from importlib import import_module
from importlib.util import find_spec

import pytest

from virtuoso.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_says_the_new_one(old):
    with pytest.raises(ModuleNotFoundError, match=rf"virtuoso\.{old} is now virtuoso\.{MOVED[old]}\."):
        import_module(f"virtuoso.{old}")
    assert find_spec(f"virtuoso.{MOVED[old]}") is not None


def test_other_names_are_not_there_as_ever():
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'virtuoso\.nothing'$"):
        import_module("virtuoso.nothing")

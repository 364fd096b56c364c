"""The root of a project is the same from wherever in it one works, and is never somebody else's."""

import os
import sys
from pathlib import Path

import pytest

from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.prism.registry import prism_from, private_component
from virtuoso.project import Project, project

OTHER = 4_242


@pytest.fixture
def deep(tmp_path):
    """A folder some levels below."""
    folder = tmp_path / "home" / "work" / "notes"
    folder.mkdir(parents=True)
    return folder


def mark(folder: Path, *, git=False, toml=False):
    if toml:
        (folder / "virtuoso.toml").touch()
    if git:
        (folder / ".git").mkdir()
        (folder / "configs").mkdir()


class TestWhereItIs:
    """What is marked by name wins, then a git root that holds settings, then the working folder."""

    def test_nearest_folder_with_the_file(self, deep):
        mark(deep.parents[1], toml=True)
        assert project(deep, {}) == Project(deep.parents[1], True)
        mark(deep.parent, toml=True)
        assert project(deep, {}) == Project(deep.parent, True)

    def test_git_root_that_holds_configs(self, deep):
        mark(deep.parents[1], git=True)
        (deep.parent / ".git").mkdir()  # a checkout inside that is no project
        assert project(deep, {}) == Project(deep.parents[1], True)

    def test_a_worktree_has_a_file_for_git(self, deep):
        (deep / ".git").write_text("gitdir: elsewhere")
        (deep / "configs").mkdir()
        assert project(deep, {}) == Project(deep, True)

    def test_the_file_wins_over_git(self, deep):
        mark(deep.parents[1], toml=True)
        mark(deep.parent, git=True)
        assert project(deep, {}).root == deep.parents[1]

    def test_else_the_working_folder_which_is_none(self, deep, monkeypatch):
        assert project(deep, {}) == Project(deep, False)
        monkeypatch.chdir(deep)
        assert project() == Project(deep, False)

    def test_the_variable_names_it(self, deep, tmp_path):
        mark(deep, toml=True)
        assert project(deep, {"VIRTUOSO_PROJECT": str(tmp_path)}) == Project(tmp_path, True)
        with pytest.raises(ConfigError, match="which is no folder"):
            project(deep, {"VIRTUOSO_PROJECT": str(tmp_path / "absent")})


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners here")
class TestWhoseItIs:
    """Code of private components runs from the root, so it must be ours."""

    @pytest.fixture
    def foreign(self, deep, monkeypatch):
        """The same folder, seen by another user."""
        monkeypatch.chdir(deep)
        monkeypatch.setattr(os, "geteuid", lambda: OTHER)
        return deep

    @pytest.mark.parametrize("how", [{}, {"toml": True}, {"git": True}], ids=["unmarked", "toml", "git"])
    def test_somebody_elses_is_refused(self, deep, foreign, how):
        mark(deep, **how)
        with pytest.raises(ConfigError, match=r"belongs to the user with id \d+, not to you \(4242\).*_PROJECT="):
            project()

    def test_unless_it_is_named(self, foreign, monkeypatch):
        monkeypatch.setenv("VIRTUOSO_PROJECT", str(foreign))
        assert project().root == foreign

    def test_no_private_component_runs_from_it(self, foreign, monkeypatch):
        (foreign / "their_ideas.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
        monkeypatch.syspath_prepend(str(foreign))
        with pytest.raises(ConfigError, match="is refused"):
            private_component("their_ideas:Tilt")
        assert "their_ideas" not in sys.modules
        assert not Path("ran").exists()
        assert prism_from(Settings().prism)  # what ships runs anywhere

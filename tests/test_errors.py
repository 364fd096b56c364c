"""The error tree is drawn at the top of its module, and the drawing is true."""

from __future__ import annotations

import inspect
import pickle

import pytest

from virtuoso import errors


def test_the_drawing_is_the_tree():
    drawn = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip().split(" ")[0]
        if name.endswith("Error"):
            depth = (len(line) - len(line.lstrip())) // 2
            path = [*path[:depth], name]
            drawn[name] = path[-2] if depth else "Exception"
    real = {
        name: cls.__mro__[1].__name__
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, Exception)
    }
    assert drawn == real


def test_did_you_mean_names_the_nearest_or_lists_them():
    assert errors.did_you_mean("funding", ["funding_rate", "open"]) == "Did you mean 'funding_rate'?"
    assert errors.did_you_mean("zzz", ["b", "a"]) == "Known: a, b."
    assert errors.did_you_mean("zzz", []) == "None is known."


class TestWhatAMessageMayHold:
    """A value in a message comes from a file, and a file may hold anything."""

    def test_fifty_megabytes_keep_their_first_and_last_words(self):
        error = errors.UnreadableFileError(f"x.csv holds {'9' * 50_000_000} as a price. Leave it out.")
        said = str(error)
        assert len(said) < 4_100
        assert said.startswith("x.csv holds 999")
        assert said.endswith("as a price. Leave it out.")
        assert "characters left out" in said

    @pytest.mark.parametrize("sign", ["\x1b[2J", "\x00", "\x07", "\r", "\x7f", "\x9b2J", "\u202e", "\u2028", "\u200f"])
    def test_what_a_terminal_obeys_is_written_out(self, sign):
        said = str(errors.ConfigError(f"no symbol BTC{sign}USDT"))
        assert sign[0] not in said
        assert ascii(sign[0])[1:-1] in said

    def test_lines_tabs_and_foreign_letters_stay(self):
        assert str(errors.DataError("a\tb\nž 比特币 ▓")) == "a\tb\nž 比特币 ▓"

    def test_they_travel_to_other_processes(self):
        error = pickle.loads(pickle.dumps(errors.LockedError("held by 7")))
        assert (type(error), str(error)) == (errors.LockedError, "held by 7")

    def test_a_name_of_a_megabyte_is_no_misspelling(self):
        assert errors.did_you_mean("x" * 1_000_000, ["open"]) == "Known: open."

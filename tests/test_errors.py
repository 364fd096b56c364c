"""The error tree is drawn at the top of its module, and the drawing is true."""

from __future__ import annotations

import inspect

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

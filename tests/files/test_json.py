"""One document that any reader takes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from virtuoso.files.json import plain, to_json


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), None), (float("-inf"), None), (np.float64(0.1), 0.1), (np.array([1.0, np.nan]), [1.0, None]),
        (np.int8(3), 3), ({"b", "a"}, ["a", "b"]), ((1, 2), [1, 2]), ({1: {2: float("inf")}}, {"1": {"2": None}}),
        (Path("a/b"), "a/b"), (datetime(2025, 1, 1, tzinfo=UTC), "2025-01-01T00:00:00+00:00"), (True, True),
    ],
)  # fmt: skip
def test_holds_what_json_can_hold(value, told):
    assert plain(value) == told
    assert json.loads(to_json(value)) == told


def test_is_one_document_with_a_newline_and_on_one_line_where_asked():
    assert to_json({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}\n'
    assert to_json({"a": [1]}, indent=None) == '{"a": [1]}\n'


def test_holds_nothing_that_a_terminal_obeys():
    text = to_json("a\x9b31m\u202eb\u2028")
    assert text == '"a\\u009b31m\\u202eb\\u2028"\n'
    assert json.loads(text) == "a\x9b31m\u202eb\u2028"

"""What to say where a user's own function fails: the line of the user's file, and the likely cause."""

from __future__ import annotations

import re

from virtuoso.errors import failure
from virtuoso.prism.component import Node

_NO_ATTRIBUTE = re.compile(r"'numpy\.ndarray' object has no attribute '(\w+)'")
_TRUTH = "The truth value of an array"


def failure_of(fault: Exception, node: Node) -> str:
    """Say in which line of its own file the function of a node failed, how, and what it likely means.

    Parameters
    ----------
    fault : Exception
        Raised by `node.value` or, of a strategy, `decide`.
    node : Node
    """
    code = getattr(getattr(type(node), node.function), "__code__", None)
    said = failure(fault, code.co_filename if code is not None else None)
    return f"{said}.{_cause(str(fault), node)}"


def _cause(said: str, node: Node) -> str:
    """The likely cause of a failure and its remedy, with a space before it; empty where none is known."""
    array = next((name for name in node.arguments if node.input_of(name) is None), "close")
    if found := _NO_ATTRIBUTE.search(said):
        return (
            f" Its inputs are NumPy arrays, not pandas Series: write pd.Series({array}).{found[1]}(...), and give back "
            "an array (.to_numpy())."
        )
    if said.startswith(_TRUTH):
        return " Its inputs are arrays with one value a bar: write np.where(condition, this, that) instead of if."
    if "is frozen" in said:
        return " Nothing is kept from call to call: use a local variable."
    return ""

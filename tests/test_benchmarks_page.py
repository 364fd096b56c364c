"""The parity gate of the benchmark page: what differs is found and named, and then no time is shown."""

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.own_signals import WORKLOADS, differences, page

CROSSES = WORKLOADS[0]
SAME = {
    "instrument": np.zeros(3, np.int64), "entry": np.array([1, 5, 9]), "exit": np.array([3, 7, 12]),
    "entry_price": np.array([100.0, 101.0, 99.0]), "exit_price": np.array([101.0, 100.0, 98.0]),
    "equity": np.array([9_900.0]),
}  # fmt: skip


def gate(folder: Path, **changed: np.ndarray) -> str:
    for k in range(CROSSES.sample):
        np.savez(folder / f"virtuoso-crosses-{k}.npz", **SAME)
        np.savez(folder / f"peer-crosses-{k}.npz", **(SAME | (changed if k == 1 else {})))
    return differences(CROSSES, "peer", folder)


def test_equal_trades_pass(tmp_path: Path):
    assert gate(tmp_path) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"exit": np.array([3, 8, 12])}, "1 of 18 trades on other bars"),
        ({"exit_price": SAME["exit_price"] * (1.0 + 1e-6)}, "3 of 18 trades at other prices"),
        ({"equity": np.array([9_901.0])}, "the same trades, of other sizes"),
        ({name: SAME[name][:2] for name in SAME if name != "equity"}, "2 trades instead of 3 in configuration 2"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, changed: dict[str, np.ndarray], said: str):
    assert said in gate(tmp_path, **changed)


def test_no_time_is_shown_where_trades_differ_and_what_is_extrapolated_is_marked():
    ran = {"wall": 2.0, "cpu": 1.0, "memory": 2**28}
    written = page({
        "crosses": [
            {"engine": "virtuoso", "configurations": 10_000, **ran},
            {"engine": "vectorbt-rust", "configurations": 40, "differs": "", **ran},
            {"engine": "raptorbt", "configurations": 100, "differs": "3 of 18 trades at other prices", **ran},
            {"engine": "vectorbt-numba", "why": "No module named 'vectorbt'"},
        ]
    })  # fmt: skip
    rows = {line.split(" | ")[0].lstrip("| "): line for line in written.splitlines() if line.startswith("| ")}
    ours = "virtuoso, signals as arrays"
    assert rows[ours] == f"| {ours} | 2.0 | 1.0 | 0.50 | 256 | 1.0 |"
    assert rows["vectorbt-rust"] == "| vectorbt-rust | ~500.0 | ~250.0 | 125.00 | 256 | 250.0 |"
    assert "no time: 3 of 18 trades at other prices" in rows["raptorbt"]
    assert "not run: No module named 'vectorbt'" in rows["vectorbt-numba"]

"""Results of studies as `virtuoso tune` writes them, from simulated studies: for reports and promotion."""

from pathlib import Path

import numpy as np

from tests.research.promotion.studies import World, study
from virtuoso.research.promotion.argument import Argument, argued
from virtuoso.research.promotion.baselines import Baseline
from virtuoso.research.promotion.evidence import EQUAL, HOLD, Evidence
from virtuoso.runs.schema import CONFIG, DAILY, HONESTY, PROVENANCE, SUMMARY, TRIALS, VERDICT, WALK_FORWARD, WINNER
from virtuoso.runs.write import as_json, as_parquet

NAMES = tuple(f"weights.face_{k}" for k in range(6))
DIGEST = "0123456789abcdef" * 4


def simulated(world: World, seed: int = 1) -> Evidence:
    return study(world, np.random.default_rng(seed))


def write_result(folder: Path, evidence: Evidence, *, objectives: int = 1) -> Argument:
    """Write the result folder of a simulated study, judged, and return its argument."""
    folder.mkdir(parents=True, exist_ok=True)
    random, space = np.random.default_rng(0), evidence.space
    final, rounds = len(space.values), len(evidence.inside)
    count = final * (rounds + 1)
    named = np.repeat([f"walk-{k + 1}" for k in range(rounds)] + ["final"], final)
    values = np.concatenate((random.normal(size=final * rounds), space.values))
    points = np.vstack((random.dirichlet(np.ones(6), final * rounds), space.points))
    heads = ["value"] if objectives == 1 else ["value_sharpe", "value_net_return"]
    table = {
        "number": np.tile(np.arange(final), rounds + 1),
        "round": named.astype(object),
        "generation": np.zeros(count, np.int64),
        "state": np.array(["complete"] * (count - 3) + ["complete"] * 3, dtype=object),
        "reason": np.array([None] * count, dtype=object),
        **dict.fromkeys(heads, values),
        "in_sharpe": values,
        "out_sharpe": np.where(named == "final", np.nan, 0.4 * values + random.normal(size=count)),
        "trades": np.full(count, 80.0),
        "turnover": np.full(count, 30.0),
        **{name: points[:, k] for k, name in enumerate(NAMES)},
    }
    baselines = (
        Baseline("the winner", 0.4, 1.5),
        Baseline("inverted", -0.5, -2.0),
        Baseline("technical alone", 0.1, 0.6),
    )
    argument = argued(evidence, baselines, simulated=True)
    walk = {
        "date": evidence.days, "round": evidence.rounds, "return": evidence.walk,
        "untuned": evidence.rivals[EQUAL], "buy_and_hold": evidence.rivals[HOLD],
    }  # fmt: skip
    winner = {
        "simulated": True, "trial": space.chosen, "rule": "the best value in sample", "front": [space.chosen],
        "result_hash": DIGEST, "command": "virtuoso backtest AAAUSDT --config winner.yaml",
        "rounds": [{"round": f"walk-{k + 1}", "trial": int(np.argmax(values[k * final : (k + 1) * final])), "in": {},
                    "out": {}, "point": [], "values": []} for k in range(rounds)],
    }  # fmt: skip
    files = {
        CONFIG: as_json({"objectives": ["sharpe"], "names": list(NAMES), "simulated": True}),
        PROVENANCE: as_json({"instruments": "AAAUSDT simulated", "data": DIGEST, "space": DIGEST, "code": DIGEST}),
        SUMMARY: b"A simulated study.\n",
        TRIALS: as_parquet(table),
        DAILY: as_parquet({"date": np.arange(len(evidence.search)) * 86_400_000,
                           **{str(k): evidence.search[:, k] for k in range(final)}}),
        WALK_FORWARD: as_parquet(walk),
        WINNER: as_json(winner),
        HONESTY: as_json(argument.honesty()),
        VERDICT: as_json(argument.told()),
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return argument

"""Assembly: what is dropped on the way is computed again when it is asked for once more."""

import numpy as np

from tests.builders import thin_market
from virtuoso.prism.engine.assembly import CHUNK
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism

PARTS = ("score", "raw_score", "divergence_bonus", "divergence_kind", "coverage")


def test_a_prism_that_evicts_leaves_another_ones_answers_as_they_are():
    frame = thin_market(bars=CHUNK + 6_000)
    given = Prism.classic()
    other = given.reweighted({name: float(name == "price_structure") for name in given.face_weights})
    workspace, start = Workspace(frame), frame.start + 4_000
    before = assemble(given, workspace, start, start + 900)
    assemble(other, workspace, frame.start, frame.stop)
    after = assemble(given, workspace, start, start + 900)
    assert np.isfinite(before.confluence).any()
    assert np.array_equal(before.confluence, after.confluence, equal_nan=True)


def test_a_component_of_a_long_history_is_that_of_its_stretches():
    frame = thin_market(bars=CHUNK + 6_000)
    whole = score(Prism.classic(), frame)
    start, stop = frame.stop - 2_000, frame.stop - 1_000
    part = assemble(Prism.classic(), Workspace(frame), start, stop)
    here = slice(start - whole.start, stop - whole.start)
    for name in ("technical", "volume"):
        for component, found in part.faces[name].components.items():
            arrays = whole.faces[name].components[component].arrays()
            for field in PARTS:
                assert np.array_equal(getattr(arrays, field)[here], getattr(found, field), equal_nan=True), component
            known = whole.faces[name].components[component].known
            assert np.array_equal(known, np.isfinite(arrays.raw_score))
            assert np.array_equal(known, np.isfinite(arrays.score))

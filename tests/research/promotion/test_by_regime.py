"""Weights by regime are kept only if, out of sample, they beat one set of weights: it is a rival of the gate."""

from __future__ import annotations

import numpy as np

from tests.research.tuning.markets import evaluator, points
from virtuoso.research.promotion.evidence import ONE_SET
from virtuoso.research.promotion.gathering import _combined, _rivals, _walked, equal_point

SEARCH = {"weights": ["faces", "technical"], "thresholds": {"enter": [4, 9]}, "by_regime": True}


def test_one_set_of_weights_is_traded_on_the_same_days():
    made = evaluator(search=SEARCH)
    first, point = made.rounds[0], points(made.space, 3)[2]
    whole = _combined(_walked(made, [(first, point)]))
    plain = made.evaluate(made.space.without_regimes(point)[None], first).returns[0]
    window = first.windows["all"]
    one_set = _rivals(made, whole, float("nan"))[ONE_SET]
    np.testing.assert_array_equal(one_set, plain.daily[window.test_first : window.test_stop, 0])
    assert (one_set != whole.daily[:, 0]).any()


def test_a_study_of_one_set_has_no_such_rival():
    made = evaluator(search={"weights": ["faces"]})
    whole = _combined(_walked(made, [(made.rounds[0], made.space.prior)]))
    assert ONE_SET not in _rivals(made, whole, float("nan"))


def test_equal_weights_are_equal_in_every_regime():
    made = evaluator(search=SEARCH)
    found = made.space.decode(equal_point(made)[None]).columns
    group = next(one for one in made.space.groups if one.name == "technical")
    for lead in ("", "calm trend.", "volatile range."):
        weights = [float(found[f"{lead}{name}"][0]) for name in group.members]
        np.testing.assert_allclose(weights, weights[0], rtol=1e-9)

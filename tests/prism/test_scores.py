"""Why a component is not known: the reason names what is missing, and a warm-up counts the features' own."""

from __future__ import annotations

import numpy as np

from tests.builders import market
from virtuoso.prism.prism import Prism

SCORES = Prism.standard().score(market(bars=3_000))


class TestTheReason:
    def test_is_the_warmup_while_a_feature_warms_up(self):
        assert np.isnan(SCORES.faces["price_structure"].components["order_blocks"].score[100])
        assert SCORES.reason("price_structure.order_blocks", 100).startswith("warmup (101 of ")

    def test_is_the_gap_inside_an_outage(self):
        outage = int(np.argmax(SCORES.frame.base.state == 3))
        assert SCORES.reason("technical.rsi", outage) == "gap"

    def test_is_empty_where_the_score_is_known(self):
        assert SCORES.reason("technical.rsi", 1_500) == ""

"""The composite profile: where several sessions together have done their business."""

from __future__ import annotations

from virtuoso.clock import Timeframe
from virtuoso.prism.component import Int
from virtuoso.prism.features.profile import LADDER, ValueArea


class CompositeArea(ValueArea):
    """The value area of the profile face, over a horizon one step longer.

    Seen from 1m it covers a day, with the sessions of three continents, from 5m four days, from 30m and 4h eight.

    Source: Dalton (1990), Mind over Markets, ch. 4, on composite ("long-term") profiles.
    """

    period: int = Int(48, low=10, high=500)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Second slower of 1m, 5m, 30m, 2h, 4h, as far as there is one; the asker's own from 4h on."""
        slower = [step for step in LADDER if step.ms > timeframe.ms and step.ms % timeframe.ms == 0]
        return slower[min(1, len(slower) - 1)] if slower else timeframe

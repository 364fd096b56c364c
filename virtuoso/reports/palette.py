"""The colours, once: matplotlib, CSS and the terminal take them from here.

Colour means direction and nothing else, and never alone: what is coloured also has a sign, an arrow or a position.
Blue and orange stay apart for those who cannot tell red from green.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

SIMULATED_ALPHA = 0.14


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one theme, as hex."""

    paper: str = "#FFFFFF"
    panel: str = "#F6F7F8"
    line: str = "#D8DEE4"
    ink: str = "#1F2328"
    quiet: str = "#59636E"
    bullish: str = "#0072B2"
    bearish: str = "#D55E00"
    neutral: str = "#6E7781"
    accent: str = "#B8860B"
    simulated: str = "#8A5CF6"
    bearish_ink: str = "#B84F00"  # text needs 4.5 : 1, which the bearish of areas does not reach on white

    def css(self) -> str:
        """Custom properties, such as `--ink: #1F2328;`."""
        return " ".join(f"--{field.name}: {getattr(self, field.name)};" for field in fields(self))


LIGHT = Palette()
DARK = Palette(
    paper="#0D1117",
    panel="#161B22",
    line="#30363D",
    ink="#E6EDF3",
    quiet="#9198A1",
    bullish="#58A6D6",
    bearish="#F0883E",
    neutral="#8B949E",
    accent="#D4A72C",
    simulated="#8A5CF6",
    bearish_ink="#F0883E",
)


def effect_of_change(change: float) -> str:
    """Say which way a change works: bullish, bearish, or quiet where it does nothing."""
    return "bullish" if change >= 0.05 else "bearish" if change <= -0.05 else "quiet"


def contrast(a: str, b: str) -> float:
    """Contrast of two colours, from 1 to 21.

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    bright, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255.0 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

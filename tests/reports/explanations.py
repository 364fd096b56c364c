"""An explanation written by hand: known, unknown, neutral, and with divergence both ways."""

from virtuoso.prism.result.explanation import Explanation, Row

NAN = float("nan")


def row(name, title, score, weight, bonus=0.0, divergence="none", words="", reason=""):
    known = score == score
    return Row(
        name,
        title,
        score,
        score - bonus if known else NAN,
        weight,
        weight * score if known else NAN,
        bonus,
        divergence,
        words,
        reason,
    )


FACE = [
    row("rsi", "Relative Strength Index", 71.2, 0.25, 5.2, "regular_bullish", "RSI 66: upward momentum"),
    row("ao", "Awesome Oscillator", 30.0, 0.50, -3.1, "regular_bearish", "AO <down> & out"),
    row("cci", "Commodity Channel Index", 50.0, 0.25, 0.0, "none", "CCI 0: at its mean"),
    row("macd", "MACD", NAN, 0.0, 0.0, reason="warmup (20 of 103 bars)"),
]
SCORE = sum(r.impact for r in FACE if r.score == r.score)
TOTAL = [
    row("technical", "Technical", SCORE, 1.0, 2.1, words="Technical is bearish at 45"),
    row("orderflow", "Orderflow", NAN, 0.0, NAN, reason="no data for it in the store"),
]
EXPLANATION = Explanation(
    "BTCUSDT", "binance-spot", "1m", 1_700_000_040_000, 43_210.5, SCORE, SCORE - 2.1, 0.17, 0.8, 0.31, 2.0, TOTAL,
    {"technical": FACE, "orderflow": [row("cvd", "cvd", NAN, 0.0, reason="no data for it in the store")]},
)  # fmt: skip

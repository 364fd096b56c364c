"""Reliability of signals: whether a calibration fits the weights and settings that it is used with."""

from __future__ import annotations

import hashlib

from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.settings import SignalSettings


def rule_digest(prism: Prism, settings: SignalSettings) -> str:
    """Digest of all that decides which signals there are and what their reliability and levels are."""
    beside = {"reports", "calibration"}
    if settings.min_edge == 0.0:  # then what is expected of a move, and its cost, decide nothing
        beside |= {"min_edge", "history", "costs"}
    text = settings.model_dump_json(exclude=beside)
    return hashlib.sha256(f"{prism.fingerprint}\n{text}".encode()).hexdigest()


def misfit(scores: Scores, settings: SignalSettings) -> str:
    """Return why the calibration that is set does not apply; empty where it does, or where none is set."""
    table, timeframe = settings.calibration, scores.frame.timeframe.name
    if table is None:
        return ""
    if table.timeframe != timeframe:
        return f"the calibration was learned on {table.timeframe}, not {timeframe}"
    if table.learned_with != rule_digest(scores.prism, settings):
        return "the calibration was learned with other weights or signal settings"
    return ""

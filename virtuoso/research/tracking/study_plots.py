"""Plots of a study on one page that needs nothing but itself: Optuna's own, and how values fall off around the best.

Importance is by PED-ANOVA over the trials that have a value; where there are many names, the most important are drawn.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from virtuoso.types import Array

DRAWN = 8
"""Names that slices and parallel coordinates show."""
LEAST_TRIALS = 3
NEIGHBOURS = 500
"""Trials nearest to the best that the plateau shows."""


def plots_page(
    names: Sequence[str],
    points: Mapping[str, Array],
    values: Array,
    objectives: Sequence[str],
    directions: Sequence[str],
    *,
    simulated: bool = False,
) -> str:
    """Return the page; empty where there are too few trials for any plot.

    Parameters
    ----------
    names : sequence of str
        Of the space.
    points : mapping of str to Array, shape (n_trials,)
    values : Array, shape (n_trials, n_objectives)
        Known ones alone are drawn.
    objectives, directions : sequence of str
    simulated : bool
        Whether to say so at the head.
    """
    known = np.isfinite(values).all(axis=1)
    moving = [name for name in names if np.unique(points[name][known]).size > 1]
    if known.sum() < LEAST_TRIALS or not moving:
        return ""
    made = "<p><strong>SIMULATED DATA</strong></p>" if simulated else ""
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>Plots of a study</title><body>{made}"]
    kept = {name: points[name][known].astype(np.float64) for name in moving}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # optuna's, of what is meant here
        for k, (title, figure) in enumerate(_figures(kept, values[known], objectives, directions)):
            figure.update_layout(title=None, template="plotly_white", margin={"t": 20})
            drawn = figure.to_html(full_html=False, include_plotlyjs=k == 0)
            parts.append(f"<h2>{escape(title)}</h2>{drawn}")
    return "\n".join([*parts, "</body></html>\n"])


def _figures(
    points: Mapping[str, Array], values: Array, objectives: Sequence[str], directions: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    """Give titles and figures of plotly."""
    import optuna
    from optuna import visualization
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    study, first = _study(points, values, directions), str(objectives[0])

    def target(trial: optuna.trial.FrozenTrial) -> float:
        return float(trial.values[0])

    def lower_is_better(trial: optuna.trial.FrozenTrial) -> float:
        return target(trial) * (-1.0 if directions[0] == "maximize" else 1.0)

    # with a target it asks what makes it low, whatever the direction of the study
    shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), target=lower_is_better)
    most = list(shares)[:DRAWN]
    told: dict[str, Any] = {"target": target, "target_name": first}
    yield "Importance (PED-ANOVA)", _bars(shares)
    yield f"Slices: {first} by each of the {len(most)} most important", visualization.plot_slice(study, most, **told)
    yield "Parallel coordinates", visualization.plot_parallel_coordinate(study, most, **told)
    if 2 <= len(objectives) <= 3:
        yield "Pareto front", visualization.plot_pareto_front(study, target_names=list(objectives))
    yield "Plateau or spike: the best, and how values fall off around it", _plateau(points, values[:, 0], first,
                                                                                  directions[0])  # fmt: skip


def _study(points: Mapping[str, Array], values: Array, directions: Sequence[str]) -> Any:
    """Return the trials as a study of Optuna, in memory."""
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["maximize" if one == "maximize" else "minimize" for one in directions])
    spans: dict[str, BaseDistribution] = {
        name: FloatDistribution(float(of.min()), float(of.max())) for name, of in points.items()
    }
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: float(of[k]) for name, of in points.items()}, distributions=spans,
                values=[float(value) for value in values[k]],
            )
            for k in range(len(values))
        ]
    )  # fmt: skip
    return study


def _bars(shares: Mapping[str, float]) -> Any:
    import plotly.graph_objects as go

    names = list(shares)[: 3 * DRAWN][::-1]
    return go.Figure(
        go.Bar(x=[shares[name] for name in names], y=names, orientation="h"),
        {"xaxis_title": "share of what moves the best values", "height": 120 + 22 * len(names)},
    )


def _plateau(points: Mapping[str, Array], values: Array, named: str, direction: str) -> Any:
    """Draw values by distance from the best: a plateau stays up, a spike falls at once."""
    import plotly.graph_objects as go

    table = np.column_stack(list(points.values()))
    table = (table - table.min(axis=0)) / np.ptp(table, axis=0)
    best = int(values.argmax() if direction == "maximize" else values.argmin())
    far = np.sqrt(((table - table[best]) ** 2).mean(axis=1))
    near = np.argsort(far, kind="stable")[:NEIGHBOURS]
    return go.Figure(
        go.Scatter(x=far[near], y=values[near], mode="markers", marker={"size": 5, "opacity": 0.6}),
        {"xaxis_title": "distance from the best, in ranges (root mean square)", "yaxis_title": named},
    )

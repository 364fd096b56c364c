"""The files that a promotion writes: weights or a strategy with their certificate, and nothing over what is there.

| file | holds |
|---|---|
| `configs/weights/NAME.yaml` | weights, horizon, mean and spread of the confluence, certificate |
| `configs/NAME.yaml` | names those weights, with the thresholds and levels that were tuned; only where some were |
| `configs/strategies/NAME.yaml` | of a study of a strategy: its class, its parameters, certificate |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from virtuoso.errors import ConfigError
from virtuoso.files.atomic import Disk
from virtuoso.prism.weights import Certificate, Standard

WEIGHTS, STRATEGIES = Path("configs") / "weights", Path("configs") / "strategies"


def weights_file(
    overlay: Mapping[str, Any], timeframes: Mapping[str, float], horizon: str, standard: Standard | None,
    certificate: Certificate,
) -> str:  # fmt: skip
    """Write the winner's weights as a file of weights.

    Parameters
    ----------
    overlay : mapping
        The winner as settings for `-c`: `prism` with `faces`, and `timeframes` and `by_regime` where they were varied.
    timeframes : mapping of str to float
        In force otherwise.
    horizon : str
        Hold that they are meant for, such as `3d`.
    standard : Standard or None
    certificate : Certificate
    """
    prism = overlay["prism"]
    told: dict[str, Any] = {"horizon": horizon}
    if standard is not None:
        told["standard"] = {"mean": round(standard.mean, 4), "sd": round(standard.sd, 4)}
    told["certificate"] = certificate_told(certificate)
    told["timeframes"] = dict(prism.get("timeframes") or timeframes)
    told["faces"] = prism["faces"]
    if prism.get("by_regime"):
        told["by_regime"] = prism["by_regime"]
    return f"{_heading(certificate, 'Weights')}{yaml.safe_dump(_plain(told), sort_keys=False, allow_unicode=True)}"


def strategy_file(overlay: Mapping[str, Any], certificate: Certificate) -> str:
    """Write the winner of a study of a strategy: its class, its parameters, and its certificate."""
    told = {
        "strategy": overlay["strategy"],
        "parameters": overlay["parameters"],
        "certificate": certificate_told(certificate),
    }
    return f"{_heading(certificate, 'A strategy')}{yaml.safe_dump(_plain(told), sort_keys=False, allow_unicode=True)}"


def settings_file(name: str, signals: Mapping[str, Any]) -> str:
    """Write the file for `-c` that goes with weights whose thresholds were tuned with them."""
    told = {"prism": {"weights": f"weights/{name}.yaml"}, "signals": _plain(dict(signals))}
    return (
        f"# Promoted with configs/weights/{name}.yaml: its thresholds and levels. Lay it over with --config.\n"
        f"{yaml.safe_dump(told, sort_keys=False)}"
    )


def write_promoted(files: Mapping[Path, str]) -> list[Path]:
    """Write all files of a promotion, or none.

    Raises
    ------
    ConfigError
        One of them is there and holds something else: what was promoted once is never written over.
    """
    for path, text in files.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ConfigError(f"{path} is there and holds something else. Promote under another name: --name NAME")
    disk = Disk()
    for path, text in files.items():
        disk.make_folder(path.parent)
        disk.write(path, text.encode(), lasting="bytes")
    return list(files)


def certificate_told(certificate: Certificate) -> dict[str, Any]:
    """Return a certificate as it stands in a file: what it does not know is left out."""
    told = certificate.model_dump(mode="json", exclude_none=True)
    return {name: value for name, value in told.items() if value not in ("", [])}


def _heading(certificate: Certificate, what: str) -> str:
    said = "FORCED past the gate, which refused them" if certificate.forced else "passed the gate of promotion"
    return (
        f"# {what} of the study {certificate.study}: {said}. Written by `virtuoso promote`; do not edit:\n"
        "# the certificate holds for exactly these values.\n"
    )


def _plain(value: Any) -> Any:
    """Return mappings, lists and numbers as YAML writes them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | str) or value is None:
        return value
    return value if isinstance(value, int) else float(value)

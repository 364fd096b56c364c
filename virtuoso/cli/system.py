"""`virtuoso demo`, `config show` and `doctor`: the first three things that a new user runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from virtuoso.cli.terminal.command import Answer, Call, verb

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.cli.doctor import Check
    from virtuoso.demo.run import Demo

config = typer.Typer(help="Configuration: show.")


def add_system(app: typer.Typer) -> None:
    """Register them."""
    verb(app, "demo", "virtuoso demo --days 20")(demo)
    app.add_typer(config, name="config")
    verb(app, "doctor", "virtuoso doctor")(doctor)


def demo(
    call: Call,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="Length of the simulated history.")] = 60,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the simulated market.")] = 7,
    timeframe: Annotated[str, typer.Option("-i", "--timeframe", metavar="TF", help="Base timeframe.")] = "5m",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the pages; reports/demo if absent.")
    ] = None,
) -> Answer:
    """Run the main job end to end, offline, on a simulated market."""
    from virtuoso.demo.run import run

    stream = sys.stderr if call.as_json else sys.stdout

    def say(text: str) -> None:
        if not call.quiet:
            print(text, file=stream, flush=True)

    made = run(call.settings, days=days, seed=seed, timeframe=timeframe, out=out, say=say)
    elsewhere = replace(call, data=made.root)
    following = elsewhere.next("explain", made.symbols[0], timeframe=made.timeframe, venue="simulated")
    return Answer(made.to_dict(), lambda: _demonstrated(made), following)


def _demonstrated(made: Demo) -> Iterator[RenderableType]:
    yield ""
    yield f"page: {made.page}"


@verb(config, "show", "virtuoso config show signals --set signals.bull_enter=60")
def config_show(
    call: Call,
    section: Annotated[str | None, typer.Argument(metavar="[SECTION]", help="Only this one, such as signals.")] = None,
) -> Answer:
    """Show the settings in force, who set them, and no secret."""
    from virtuoso.config import show
    from virtuoso.errors import ConfigError, did_you_mean

    found = show(call.settings)
    if section is not None:
        if section not in found["settings"]:
            raise ConfigError(f"There is no section {section!r}. {did_you_mean(section, found['settings'])}")
        found["settings"] = {section: found["settings"][section]}
    return Answer(found, lambda: _configured(found), call.next("doctor"))


def _configured(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, pairs, table

    origins = found["origins"]
    rows = (
        (key, _value(value), next((o for k, o in origins.items() if k == key or k.startswith(f"{key}.")), "default"))
        for key, value in _flat(found["settings"])
    )
    yield table(("SETTING", "VALUE", "SET BY"), rows, left=3)
    if found["secrets"]:
        yield heading("Secrets, by the name of their variable")
        yield pairs(sorted(found["secrets"].items()))
    yield ""
    yield f"weights     {found['weights']}"
    yield f"fingerprint {found['fingerprint']}"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings one by one; a table of plain numbers below a section, such as weights, stays one."""
    for name, value in tree.items():
        is_section = isinstance(value, dict) and (not prefix or any(isinstance(v, dict) for v in value.values()))
        if is_section and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _value(value: Any) -> str:
    if isinstance(value, dict):
        said = {name: inner for name, inner in value.items() if inner is not None}
        return ", ".join(f"{name} {_value(inner)}" for name, inner in said.items()) or "none"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]" if value else "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def doctor(call: Call) -> Answer:
    """Look whether everything that Virtuoso stands on is in order."""
    from virtuoso.cli.doctor import examine

    checks = examine(call)
    failed = [check for check in checks if check.verdict == "fails"]
    data = {"ok": not failed, "checks": [check.to_dict() for check in checks]}
    following = call.next("data list") if not failed else call.next("doctor")
    return Answer(data, lambda: _examined(checks), following, failed[0].exit_code if failed else 0)


def _examined(checks: list[Check]) -> Iterator[RenderableType]:
    from virtuoso.cli.terminal.console import heading, prose, table
    from virtuoso.reports.format import plural

    yield table(("WHAT", "VERDICT", "FOUND"), ((c.name, c.verdict, c.found) for c in checks), left=3)
    remedies = [check for check in checks if check.remedy]
    if remedies:
        yield heading("To do")
        yield from (prose(f"{check.name}: {check.remedy}", 2) for check in remedies)
    failed = sum(check.verdict == "fails" for check in checks)
    yield ""
    yield f"{plural(failed, 'check')} failed" if failed else "everything that Virtuoso needs works"

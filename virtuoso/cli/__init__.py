"""The command line. Every verb is a thin caller of `virtuoso.workflows`; what is heavy is imported when a verb runs.

    virtuoso demo
    virtuoso data import bars.zip --venue binance-spot
    virtuoso score BTCUSDT --timerange 20260301-20260308 --json

Exit codes: 0 done, 1 unexpected, 2 usage or settings, 3 data, 4 a law is broken, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if absent.

    Returns
    -------
    int
        The exit code.
    """
    import typer

    from virtuoso.caller import command_line
    from virtuoso.cli.app import app
    from virtuoso.cli.terminal.command import INTERRUPTED
    from virtuoso.errors import printable

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a bar shows a question mark
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with command_line():
            code = app(given or ["--help"], prog_name="virtuoso", standalone_mode=False)
    except typer.TyperException as misuse:
        context = getattr(misuse, "ctx", None)
        command = context.command_path if context is not None else "virtuoso"
        print(printable(f"error: {misuse.format_message()}\nSee: {command} --help"), file=sys.stderr)
        return 2
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0

"""One call of a verb: its common options in, its answer out, and what goes wrong in two lines.

1. `verb` registers a function as a command and gives it the options that every command has.
2. The function gets a `Call` (settings, data root, progress, the next command) and gives back an `Answer`.
3. The answer is printed: as text for people, or with --json as one document for programs. Progress, notes and
   errors go to stderr.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import typer

from virtuoso.cli.terminal import options
from virtuoso.errors import VirtuosoError, failure, printable
from virtuoso.files.json import to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.config import Settings
    from virtuoso.lake.lake import Lake
    from virtuoso.types import Progress

P = ParamSpec("P")

UNEXPECTED, INTERRUPTED = 1, 130
LONGEST_TRACEBACK = 100_000
CHECK_PATH = "Is the path right, and may it be written? Look at the disk with `virtuoso doctor`."
SENTENCE_END = re.compile(r"[.?!] +(?=[A-Z])")
OUR_FAULT = "This is a fault of Virtuoso: run it again with --debug and report what it prints."
YOUR_CODE = "This is code of your own. Mend it; --debug shows every call."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb found.

    Attributes
    ----------
    data : mapping
        For programs: what --json writes.
    text : callable
        For people: gives what is printed, made only when it is wanted.
    next : str
        The next useful command, empty where there is none.
    exit_code : int
    """

    data: Mapping[str, Any]
    text: Callable[[], Iterable[RenderableType]]
    next: str = ""
    exit_code: int = 0


@dataclass
class Call:
    """One call of a command: what its common options say, and the way to the terminal."""

    data: Path | None = None
    config: list[Path] = field(default_factory=list)
    profile: str | None = None
    set: list[str] = field(default_factory=list)
    as_json: bool = False
    quiet: bool = False
    verbose: int = 0
    debug: bool = False

    @cached_property
    def settings(self) -> Settings:
        """Settings in force, `--set` and `--data` included."""
        from virtuoso.config import Settings
        from virtuoso.config.sources import option_layers

        return Settings.load(*self.config, profile=self.profile, layers=option_layers(self.set, self.data))

    @property
    def root(self) -> Path:
        """The data root."""
        return self.settings.data.root

    @cached_property
    def lake(self) -> Lake:
        """The lake under the data root."""
        from virtuoso.workflows import lake

        return lake(settings=self.settings)

    @property
    def log_level(self) -> str:
        """Least severe message that is written: warnings, with -v what `system.log_level` says, with -vv everything."""
        if self.quiet or not self.verbose:
            return "ERROR" if self.quiet else "WARNING"
        return self.settings.system.log_level if self.verbose == 1 else "DEBUG"

    @property
    def wants_all(self) -> bool:
        """Whether -v asks for all of an answer; without it an answer is one screen."""
        return self.verbose > 0

    @property
    def wants_tracebacks(self) -> bool:
        """Whether --debug or `system.debug_mode` asks for them."""
        loaded: Settings | None = self.__dict__.get("settings")
        return self.debug or (loaded is not None and loaded.system.debug_mode)

    def next(self, verb: str, *arguments: object, **given: object) -> str:
        """Write a command that runs on the same data with the same settings.

        Examples
        --------
        >>> Call(data=Path("d")).next("score", "BTCUSDT", timeframe="1m", venue=None)
        'virtuoso score BTCUSDT --timeframe 1m --data d'
        >>> Call().next("backtest", "BTCUSDT", halt=True)
        'virtuoso backtest BTCUSDT --halt'
        """
        parts = ["virtuoso", *verb.split(), *(str(argument) for argument in arguments)]
        for name, value in {**given, "data": self.data, "profile": self.profile}.items():
            option = f"--{name.replace('_', '-')}"
            for one in value if isinstance(value, list) else [value]:
                if one is not None and one is not False:
                    parts += [option] if one is True else [option, str(one)]
        for file in self.config:
            parts += ["--config", str(file)]
        for setting in self.set:
            parts += ["--set", setting]
        return shlex.join(parts)

    def note(self, text: str) -> None:
        """Say something beside the answer, on stderr."""
        if not self.quiet:
            print(printable(text), file=sys.stderr)

    def complain(self, what: str, remedy: str) -> None:
        """Say in two lines on stderr what is wrong and what to do."""
        print(printable(f"error: {what}\n{remedy}"), file=sys.stderr)

    @contextmanager
    def progress(self, what: str) -> Iterator[Progress]:
        """Show long work on stderr where that is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda name, done, total: None
            return
        from virtuoso.cli.terminal.console import progress_bar

        with progress_bar(what) as tick:
            yield tick

    def give(self, answer: Answer) -> None:
        """Print an answer."""
        if self.as_json:
            sys.stdout.write(to_json({**answer.data, "next": answer.next or None}))
            return
        from virtuoso.cli.terminal.console import show

        show(answer.text(), "" if self.quiet else answer.next)

    def fail(self, kind: str, what: str, remedy: str, code: int) -> int:
        """Say what is wrong and what to do, and give the exit code back."""
        what, remedy = printable(what), printable(remedy)
        self.complain(what, remedy)
        if self.as_json:
            sys.stdout.write(to_json({"error": {"kind": kind, "what": what, "remedy": remedy, "exit_code": code}}))
        return code


HINTS = {
    1: "Run it again with --debug to see where.",
    2: "See `virtuoso config show` and the --help of the command.",
    3: "See `virtuoso data list` for what is stored.",
    4: "See `virtuoso verify --help`.",
    5: "Read the study's report.",
}
"""What to do where the message itself does not say."""


def written(time_ms: int) -> str:
    """Write a moment as an option takes it: `2025-10-10T21:15:00Z`."""
    from virtuoso.clock import iso

    return iso(time_ms).replace(" ", "T")


def in_two(message: str) -> tuple[str, str]:
    """Split a message into what is wrong and what to do.

    Examples
    --------
    >>> in_two("The lake is empty. Try: virtuoso data import PATH")
    ('The lake is empty.', 'Try: virtuoso data import PATH')
    """
    end = SENTENCE_END.search(message)
    return (message[: end.start() + 1], message[end.end() :]) if end else (message, "")


def verb(
    app: typer.Typer, name: str, example: str
) -> Callable[[Callable[Concatenate[Call, P], Answer]], Callable[..., None]]:
    """Register a function as a command, with the options that every command has.

    Parameters
    ----------
    app : typer.Typer
    name : str
        Of the command.
    example : str
        A command line that works on a lake that holds BTCUSDT; shown by --help, and run by a test.
    """

    def register(body: Callable[Concatenate[Call, P], Answer]) -> Callable[..., None]:
        common = _parameters(_common)
        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]

        def command(**given: Any) -> None:
            shared = {parameter.name: given.pop(parameter.name) for parameter in common}
            call = Call(**shared | {name: shared[name] or [] for name in ("config", "set")})
            code = _answered(call, lambda: body(call, **given))  # type: ignore[call-arg]
            if code:
                raise typer.Exit(code)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *common)]
        command.__doc__ = body.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        app.command(name, epilog=f"\b\nExample:\n  {example}")(command)
        return command

    return register


def _common(
    *,
    data: options.Data = None,
    config: options.Config = None,
    profile: options.Profile = None,
    set: options.Set = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    debug: options.Debug = False,
) -> None:
    """The options that every command has."""


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _answered(call: Call, body: Callable[[], Answer]) -> int:
    """Run a verb and print its answer; give the exit code."""
    from virtuoso.cli.terminal.log import log_to_stderr

    try:
        log_to_stderr(call.log_level)
        answer = body()
        call.give(answer)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read us has seen enough, such as `| head`; nothing may be flushed into the closed pipe at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stopped:
        print("interrupted", *getattr(stopped, "__notes__", ()), sep="\n", file=sys.stderr)
        return INTERRUPTED
    except (Exception, SystemExit) as error:  # what ends the program inside a verb is no success of the verb
        if call.wants_tracebacks:
            print(printable(traceback.format_exc(), LONGEST_TRACEBACK), file=sys.stderr, end="")
        if isinstance(error, OSError) and error.filename is not None:
            return call.fail(type(error).__name__, f"{error.filename}: {error.strerror}.", CHECK_PATH, UNEXPECTED)
        if not isinstance(error, VirtuosoError):
            if _is_private(error):
                notes = " ".join(getattr(error, "__notes__", ()))
                return call.fail(type(error).__name__, f"Your code fails {failure(error)}. {notes}", YOUR_CODE, 2)
            return call.fail(type(error).__name__, f"unexpected {type(error).__name__}: {error}", OUR_FAULT, UNEXPECTED)
        what, remedy = in_two(str(error))
        return call.fail(type(error).__name__, what, remedy or HINTS[error.exit_code], error.exit_code)
    return answer.exit_code


def _is_private(error: BaseException) -> bool:
    """Whether an error comes out of the user's own code: of the calls that are no library's, the innermost is his."""
    paths = sysconfig.get_paths()
    libraries = [Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    files = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    written = [file for file in files if file.is_file() and not any(file.is_relative_to(home) for home in libraries)]
    return bool(written) and not written[-1].is_relative_to(Path(__file__).parents[2])

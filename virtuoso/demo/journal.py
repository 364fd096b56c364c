"""Steps of the demo: what was done, what came of it, how long it took, and the command that does it alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from virtuoso.clock import Env

Say = Callable[[str], None]


@dataclass(slots=True)
class Step:
    """One thing that was done: its name, what came of it, how long it took, and the command that does it alone."""

    name: str
    command: str
    found: str = ""
    seconds: float = 0.0


@dataclass
class Journal:
    """Steps as they happen, told while they do."""

    say: Say
    clock: Env = field(default_factory=Env)
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, command: str) -> Iterator[Step]:
        """Time a step and tell what came of it."""
        step, before = Step(name, command), self.clock.stopwatch()
        yield step
        step.seconds = self.clock.stopwatch() - before
        self.steps.append(step)
        self.say(f"  {len(self.steps)}. {name:<10} {step.seconds:5.1f} s   {step.found}")

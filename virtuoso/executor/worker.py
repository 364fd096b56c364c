"""A process that runs tasks: a line with a task in, a line with its answer out, until nobody asks any more.

What a task prints goes to stderr, so that it cannot be taken for an answer. A worker whose driver is gone reads the end
of its input and leaves.
"""

from __future__ import annotations

import os
import signal

from virtuoso.executor.tasks import perform


def main() -> None:
    """Answer what stands on the standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the driver ends its workers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for line in asked:
        function, _, question = line.rstrip("\n").partition("\t")
        answers.write(perform(function, question) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()

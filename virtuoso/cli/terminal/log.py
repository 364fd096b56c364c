"""Log messages on stderr: an event, and its fields as `name=value`."""

from __future__ import annotations

import logging
import sys

from virtuoso.errors import printable

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    """Write `12:03:55 INFO scored symbol=BTCUSDT bars=525600`."""

    def format(self, record: logging.LogRecord) -> str:
        """Append what was given as `extra` to the message."""
        fields = [f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD]
        return printable(" ".join([super().format(record), *fields]))


def log_to_stderr(level: str) -> None:
    """Send Virtuoso's own messages from a level on to stderr, in place of an earlier handler of ours."""
    logger = logging.getLogger("virtuoso")
    logger.handlers = [handler for handler in logger.handlers if not isinstance(handler.formatter, EventFormatter)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EventFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(level)

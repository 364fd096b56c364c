"""Tasks as users write them: ids in, a file named by its content out, its path back."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any


def square(ids: dict[str, Any]) -> str:
    """Write the square of a number, slowly if that is asked for; say beside it who is at it."""
    home = Path(ids["folder"])
    if "wait" in ids:
        (home / f"begun-{ids['k']}-{os.getpid()}").touch()
        time.sleep(float(ids["wait"]))
    content = f"{ids['k']} {ids['k'] ** 2}\n".encode()
    file = home / f"{hashlib.sha256(content).hexdigest()}.txt"
    file.write_bytes(content)
    return str(file)


class OddError(Exception):
    """An error that cannot be pickled, and whose constructor wants two arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"odd {a} {b}")
        self.held = threading.Lock()


def odd(ids: dict[str, Any]) -> str:
    if ids["k"] % 2:
        raise OddError(ids["k"], 2)
    return square(ids)


def nothing(ids: dict[str, Any]) -> Any:
    return None


def chatty(ids: dict[str, Any]) -> str:
    print("{'path': 'not this'}")
    os.write(1, b'{"path": "nor this"}\n')
    input_of_nobody = os.read(0, 10)
    assert input_of_nobody == b""
    return square(ids)


def exits(ids: dict[str, Any]) -> str:
    raise SystemExit(3)


def dies(ids: dict[str, Any]) -> str:
    """Kill the process that runs it, as often as a counter says."""
    home = Path(ids["folder"])
    tries = len(list(home.glob(f"died-{ids['k']}-*")))
    if ids["k"] == ids.get("killer", 0) and tries < ids["times"]:
        (home / f"died-{ids['k']}-{tries}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(ids)


def pid(ids: dict[str, Any]) -> str:
    time.sleep(0.05)
    return str(os.getpid())


def refuses(ids: dict[str, Any]) -> str:
    from virtuoso.errors import ConfigError

    raise ConfigError("The space has no function of that name. Leave it out.")

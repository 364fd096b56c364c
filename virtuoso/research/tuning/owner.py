"""Whose a lock or a running trial is, and whether its owner is dead.

A process is named by its host, the namespace its pid is of, its pid, and when it began: after a restart the same pid is
somebody else. Of a process on another host nobody here can know; only its heartbeat tells.
"""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from pathlib import Path

from virtuoso.files.atomic import is_alive


def me() -> str:
    """Return the name of this process, such as `laptop/4026531836 pid 4711 since 98231`."""
    return f"{_host()} pid {os.getpid()} since {_began(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether a process certainly does not live any more; False where nobody can know.

    Parameters
    ----------
    owner : str
        As `me` wrote it, perhaps with ` #` and more after it; anything else is nobody that could be known.
    """
    host, found, rest = owner.partition(" pid ")
    pid, since, began = rest.partition(" #")[0].partition(" since ")
    if not (found and since and pid.isdecimal()) or host != _host():
        return False
    if not is_alive(int(pid)):
        return True
    now = _began(int(pid))
    return bool(began and now and began != now)


def _host() -> str:
    """Name of this host and, where there are any, of the namespace that pids are of."""
    namespace = ""
    with suppress(OSError):
        namespace = f"/{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{platform.node()}{namespace}"


def _began(pid: int) -> str:
    """When a process began, in whatever unit the system has; empty where it does not say."""
    with suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return text.rpartition(")")[2].split()[19]  # after the name, which may hold blanks: field 22, in clock ticks
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=5)
        return asked.stdout.strip()
    return ""

"""A throwaway PostgreSQL: a real server, on a socket of its own, run by somebody who is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "not-to-be-shown-91"


def binaries() -> Path | None:
    """Where initdb lies; None where there is no PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


@contextmanager
def server() -> Iterator[str]:
    """Run one; gives the URL of its database, with a password."""
    home, bins = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp")), binaries()
    assert bins is not None
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    uid = pwd.getpwnam(user).pw_uid
    secret = home / "password"
    secret.write_text(PASSWORD)
    for path in (home, secret):
        os.chown(path, uid, -1)

    def run(*words: str) -> None:
        subprocess.run(
            [str(bins / words[0]), *words[1:]], check=True, user=uid, stdout=subprocess.DEVNULL, cwd=home, timeout=120,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )  # fmt: skip

    data, options = str(home / "data"), f"-k {home} -c listen_addresses= -c fsync=on -c max_connections=50"
    run("initdb", "-D", data, "-U", "tuner", "--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8")
    run("pg_ctl", "-D", data, "-w", "-l", str(home / "log"), "-o", options, "start")
    try:
        yield f"postgresql://tuner:{PASSWORD}@/postgres?host={home}"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)

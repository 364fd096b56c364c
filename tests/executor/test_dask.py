"""A Dask cluster: only where it is safe, only workers that are alike, and a lost worker costs a retry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.executor.test_local import WORK, Killer, ids, told
from virtuoso.errors import ConfigError, TaskError
from virtuoso.executor import dask, executor

distributed = pytest.importorskip("distributed", reason="Dask distributed is not installed: the extra virtuoso[dask]")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


class Crew(threading.Thread):
    """A scheduler, and worker processes; one that dies is started again, as Slurm or Kubernetes do."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__(daemon=True)
        self.scheduler = distributed.LocalCluster(
            n_workers=0, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
        )
        self.address = self.scheduler.scheduler_address.replace("tcp://", "dask://")
        self.over = threading.Event()
        self.workers = [self.worker() for _ in range(workers)]

    def worker(self) -> subprocess.Popen[bytes]:
        home = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.scheduler.scheduler_address, "--nthreads",
                   "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]  # fmt: skip
        return subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.workers = [one if one.poll() is None else self.worker() for one in self.workers]

    def __enter__(self) -> Crew:
        self.start()
        return self

    def __exit__(self, *of: object) -> None:
        self.over.set()
        self.join()
        for one in self.workers:
            one.kill()
            one.wait()
        self.scheduler.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """The machine of the tests may be busy."""
    monkeypatch.setattr(dask, "CONNECTED_WITHIN", 60.0)


@pytest.fixture(scope="module")
def cluster():
    with Crew() as crew:
        with distributed.Client(crew.scheduler.scheduler_address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield crew.address


def both(opened: dask.Cluster) -> Callable[[], bool]:
    """Whether both workers are there."""
    return lambda: len(opened._client.nthreads()) == 2


class TestTheSame:
    def test_as_one_process(self, cluster, tmp_path):
        seen = []
        with executor(where=cluster, folders=[tmp_path]) as opened:
            assert opened.jobs in (1, 2)
            found = opened.map(f"{WORK}:square", ids(tmp_path, 12), lambda *one: seen.append(one))
        assert found == executor(1).map(f"{WORK}:square", ids(tmp_path, 12))
        assert seen[-1] == ("tasks", 12, 12)
        assert not list(tmp_path.glob(".virtuoso*"))

    @pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
    def test_with_workers_killed_in_the_middle_of_tasks(self, cluster, tmp_path, kills):
        with executor(where=cluster, folders=[tmp_path]) as opened:
            killer, rounds = Killer(tmp_path, kills, both(opened)), 0
            killer.start()
            while killer.killed < kills and rounds < 100:
                home = tmp_path / f"{rounds}"
                home.mkdir()
                found = opened.map(f"{WORK}:square", ids(home, 8, wait=0.5))
                assert found == executor(1).map(f"{WORK}:square", ids(home, 8))
                rounds += 1
            killer.stop()
        assert killer.killed == kills

    def test_a_task_that_fails(self, cluster, tmp_path):
        with executor(where=cluster, folders=[tmp_path]) as opened:
            with pytest.raises(TaskError, match=r"Task \d of 4, tests.executor.work:odd\(.*OddError: odd") as caught:
                opened.map(f"{WORK}:odd", ids(tmp_path, 4))
            assert "in odd" in "".join(caught.value.__notes__)
            assert told(opened.map(f"{WORK}:square", ids(tmp_path, 1))) == ["0 0\n"]

    @pytest.mark.slow
    def test_a_task_that_kills_every_worker(self, cluster, tmp_path):
        with (
            executor(where=cluster, folders=[tmp_path]) as opened,
            pytest.raises(TaskError, match=r"Task 1 of 1, .*dies.*lost its worker 12 times"),
        ):
            opened.map(f"{WORK}:dies", ids(tmp_path, 1, killer=0, times=99))


class TestWhoMayBeAsked:
    @pytest.mark.parametrize(
        "host", ["192.0.2.1", "10.0.0.8", "0.0.0.0", "[2001:db8::1]", "169.254.1.1", "[::ffff:192.0.2.1]"]
    )
    def test_another_machine_needs_certificates(self, host):
        with pytest.raises(ConfigError, match=r"another machine.*tls://.*certificates"):
            executor(where=f"dask://{host}:8786")

    @pytest.mark.parametrize("where", ["dask://127.0.0.1", "dask://", "dask://127.0.0.1:99999", "dask://127.0.0.1:8/x"])
    def test_an_address_is_whole(self, where):
        with pytest.raises(ConfigError, match="no address of a scheduler"):
            executor(where=where)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
    def test_nobody_answers(self, host, monkeypatch):
        monkeypatch.setattr(dask, "CONNECTED_WITHIN", 0.5)
        with pytest.raises(ConfigError, match="No scheduler answers"):
            executor(where=f"dask://{host}:9")

    def test_certificates_that_are_not_named(self, monkeypatch):
        for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY"):
            monkeypatch.delenv(f"DASK_DISTRIBUTED__COMM__TLS__{name}", raising=False)
        with pytest.raises(ConfigError, match="DASK_DISTRIBUTED__COMM__TLS__CA_FILE is not set"):
            executor(where="tls://192.0.2.1:8786")


class TestWhatAWorkerIs:
    def test_one_of_another_version(self, cluster, monkeypatch):
        monkeypatch.setattr(dask, "code", lambda: "other")
        with pytest.raises(ConfigError, match="runs another Virtuoso"):
            executor(where=cluster)

    def test_one_that_joined_later(self, cluster, tmp_path, monkeypatch):
        with executor(where=cluster, folders=[tmp_path]) as opened:
            monkeypatch.setattr(dask, "code", lambda: "other")
            with pytest.raises(TaskError, match="joined"):
                opened.map(f"{WORK}:square", ids(tmp_path, 2))

    def test_one_that_sees_another_folder(self, tmp_path):
        found = dask.look([str(tmp_path / "absent"), str(tmp_path)], "probe", "token")
        assert found["folders"] == ["is not there, or is another folder"] * 2
        (tmp_path / "probe").write_text("another")
        assert dask.look([str(tmp_path)], "probe", "token")["folders"] == ["is another folder there"]
        with pytest.raises(ConfigError, match="same path on every machine"):
            dask._judge("w", {"code": dask.code(), "folders": ["is another folder there"], "answer": "a"}, "dask://x",
                        [tmp_path], "token")  # fmt: skip

    def test_one_that_cannot_run_virtuoso(self, tmp_path):
        with pytest.raises(ConfigError, match=r"cannot run Virtuoso: ModuleNotFoundError"):
            dask._judge("w", ModuleNotFoundError("No module named 'virtuoso'"), "dask://x", [tmp_path], "token")

    def test_no_folder_to_write_to(self, cluster, tmp_path):
        with pytest.raises(ConfigError, match="cannot be written"):
            executor(where=cluster, folders=[tmp_path / "absent"])


def test_no_worker_left_is_an_error_and_no_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "PATIENCE", 1.0)
    monkeypatch.setattr(dask, "POLLED", 0.2)
    with Crew(1) as crew, executor(where=crew.address, folders=[tmp_path]) as opened:
        crew.over.set()
        crew.join()
        crew.workers[0].kill()
        with pytest.raises(TaskError, match=r"has had no worker.*Start workers"):
            opened.map(f"{WORK}:square", ids(tmp_path, 3, wait=0.1))


def test_a_cluster_with_certificates(tmp_path, monkeypatch):
    """Scheduler, worker and client show certificates of one authority; without them nobody gets in."""
    pem = certificates(tmp_path)
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    named = {f"{tls}CA_FILE": pem["ca"]}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        named |= {f"{tls}{role}__CERT": pem["cert"], f"{tls}{role}__KEY": pem["key"]}
    home = {**os.environ, **named, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    where = tmp_path / "scheduler.json"
    scheduler = ["distributed.cli.dask_scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", "0",
                 "--no-dashboard", "--scheduler-file", str(where)]  # fmt: skip
    worker = ["distributed.cli.dask_worker", "--scheduler-file", str(where), "--nthreads", "1", "--no-dashboard",
              "--host", "127.0.0.1", "--no-nanny", "--protocol", "tls"]  # fmt: skip
    started = [
        subprocess.Popen([sys.executable, "-m", *one], env=home, cwd=tmp_path, stderr=subprocess.DEVNULL)
        for one in (scheduler, worker)
    ]
    try:
        for _ in range(200):
            if where.is_file() and where.stat().st_size:
                break
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        assert address.startswith("tls://127.0.0.1:")
        from dask import config

        shown = {"ca-file": str(pem["ca"]), "client": {"cert": str(pem["cert"]), "key": str(pem["key"])}}
        with config.set({"distributed.comm.tls": {**config.get("distributed.comm.tls"), **shown}}):
            opened = executor(where=address, folders=[tmp_path])
        with opened:
            assert told(opened.map(f"{WORK}:square", ids(tmp_path, 3))) == ["0 0\n", "1 1\n", "2 4\n"]
        monkeypatch.setattr(dask, "CONNECTED_WITHIN", 2.0)
        with pytest.raises(ConfigError, match="No scheduler answers"):
            executor(where=address.replace("tls", "dask"), folders=[tmp_path])
    finally:
        for process in started[::-1]:
            process.kill()  # a polite end waits for the scheduler, which may be gone
        for process in started:
            process.wait()


def certificates(folder: Path) -> dict[str, Path]:
    """A throw-away authority and one certificate of it, as PEM files."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    begin, end = datetime.datetime(2020, 1, 1), datetime.datetime(2090, 1, 1)  # noqa: DTZ001
    made = {}
    keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("ca", "node")}
    for name, key in keys.items():
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"test {name}")])
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test ca")])
        built = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .sign(keys["ca"], hashes.SHA256())
        )  # fmt: skip
        made[name] = built.public_bytes(serialization.Encoding.PEM)
    private = keys["node"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"ca": made["ca"], "cert": made["node"], "key": private}
    for name, data in files.items():
        (folder / f"{name}.pem").write_bytes(data)
    return {name: folder / f"{name}.pem" for name in files}

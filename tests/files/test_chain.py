"""The chain: what was added stands, and whatever is torn, missing or edited is found."""

import json
import os
import subprocess
import sys

import pytest

from virtuoso.errors import BrokenChainError, LockedError
from virtuoso.files.chain import HEAD, Chain


@pytest.fixture
def chain(tmp_path) -> Chain:
    made = Chain(tmp_path / "holdouts" / "ledger.jsonl")
    for study in ("one", "two", "three"):
        made.append({"what": "seal", "study": study, "share": 0.1})
    return made


def whole(chain: Chain) -> list[str]:
    return chain.path.read_text().splitlines()


class TestAChain:
    """Gives back what was added, in order."""

    def test_holds_what_was_added(self, chain):
        assert [(link["number"], link["study"], link["share"]) for link in chain.links()] == [
            (1, "one", 0.1), (2, "two", 0.1), (3, "three", 0.1),
        ]  # fmt: skip

    def test_keeps_every_line_to_the_byte(self, chain):
        before = whole(chain)[:-1]
        chain.append({"what": "opening", "because": 'it is "time", \u20ac\n'})
        assert whole(chain)[:3] == before
        assert chain.links()[3]["because"] == 'it is "time", \u20ac\n'

    def test_that_was_never_begun_is_empty(self, tmp_path):
        assert Chain(tmp_path / "ledger.jsonl").links() == ()

    def test_changes_its_stamp_with_every_line(self, chain):
        before = chain.stamp
        assert chain.stamp == before
        chain.append({"what": "seal"})
        assert chain.stamp != before

    def test_takes_one_writer_at_a_time(self, chain):
        code = (
            "import sys, pathlib; from virtuoso.files.atomic import writer_lock\n"
            "with writer_lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
        )
        lock = chain.path.with_name(".lock")
        with subprocess.Popen(
            [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(LockedError, match=f"pid {other.pid}"):
                chain.append({"what": "seal"})
            other.stdin.close()
        assert len(chain.links()) == 3


class TestABrokenChain:
    """Is refused with the reason, never read as a shorter one."""

    @pytest.mark.parametrize("gone", [0, 1, 2, 3])
    def test_a_line_is_missing(self, chain, gone):
        lines = whole(chain)
        chain.path.write_text("\n".join(lines[:gone] + lines[gone + 1 :]) + "\n")
        with pytest.raises(BrokenChainError, match=r"ledger\.jsonl is not what was written"):
            chain.links()

    def test_the_last_line_is_missing_and_the_end_was_made_to_fit(self, chain):
        lines = whole(chain)
        before = json.loads(lines[1])
        end = json.dumps({"end": 2, "sha256": before["sha256"]})
        chain.path.write_text("\n".join([*lines[:2], end]) + "\n")
        with pytest.raises(BrokenChainError, match="lacks the line that head names"):
            chain.links()

    def test_every_torn_tail(self, chain):
        data = chain.path.read_bytes()
        for size in range(len(data)):
            chain.path.write_bytes(data[:size])
            with pytest.raises(BrokenChainError):
                chain.links()

    def test_half_a_line_was_added(self, chain):
        chain.path.write_bytes(chain.path.read_bytes() + b'{"number": 4, "be')
        with pytest.raises(BrokenChainError, match="line 4 is not what was written"):
            chain.links()

    @pytest.mark.parametrize(("old", "new"), [("one", "ONE"), ("two", "too"), ("three", "thre"), ("0.1", "0.2")])
    def test_a_word_was_edited(self, chain, old, new):
        chain.path.write_text(chain.path.read_text().replace(old, new, 1))
        with pytest.raises(BrokenChainError, match=r"ledger\.jsonl is not what was written"):
            chain.links()

    def test_lines_changed_places(self, chain):
        one, two, *others = whole(chain)
        chain.path.write_text("\n".join([two, one, *others]) + "\n")
        with pytest.raises(BrokenChainError, match="line 1 does not follow"):
            chain.links()

    def test_the_file_is_gone(self, chain):
        chain.path.unlink()
        with pytest.raises(BrokenChainError, match="it is gone"):
            chain.links()

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every file")
    def test_it_cannot_be_read(self, chain):
        chain.path.chmod(0)
        with pytest.raises(BrokenChainError, match="cannot be read"):
            chain.links()

    def test_nothing_is_added_to_it(self, chain):
        chain.path.write_bytes(chain.path.read_bytes()[:-20])
        before = chain.path.read_bytes()
        with pytest.raises(BrokenChainError):
            chain.append({"what": "seal"})
        assert chain.path.read_bytes() == before

    def test_a_crash_before_the_head_was_written_is_none(self, chain):
        head = chain.path.with_name(HEAD)
        before = head.read_bytes()
        chain.append({"what": "seal", "study": "four"})
        head.write_bytes(before)
        assert len(chain.links()) == 4

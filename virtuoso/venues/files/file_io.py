"""The bytes of a file: the first of them to recognise it by, all of them checked against their checksum and unpacked.

Every decoder begins here, so that a damaged file is the same error to each of them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtuoso.errors import UnreadableFileError, VirtuosoError

SUFFIXES = (".zip", ".csv", ".csv.gz", ".parquet", ".pq")
CHECKSUM = ".CHECKSUM"
LARGEST_BYTES = 4 << 30
HEAD_BYTES = 65_536
_GZIP = 31  # window bits by which zlib knows gzip's header


def is_table(path: Path) -> bool:
    """Whether the file's name is that of a table."""
    return path.name.lower().endswith(SUFFIXES)


def is_parquet(path: Path) -> bool:
    """Whether the file's name is that of a Parquet file."""
    return path.name.lower().endswith((".parquet", ".pq"))


@dataclass(frozen=True, slots=True)
class Head:
    """Beginning of a file, by which decoders recognise it.

    Attributes
    ----------
    path : Path
    text : bytes
        First bytes, unpacked; none where the file is damaged, which its decoder will say.
    columns : tuple of str
        Of a Parquet file, as it names them.
    """

    path: Path
    text: bytes = b""
    columns: tuple[str, ...] = ()


def head_of(path: Path) -> Head:
    """Return the beginning of a file."""
    try:
        if is_parquet(path):
            import pyarrow.parquet as pq

            return Head(path, columns=tuple(pq.read_schema(path).names))
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as packed:
                return Head(path, packed.read(HEAD_BYTES))
        with path.open("rb") as file:
            text = file.read(HEAD_BYTES)
        if path.name.lower().endswith(".gz"):
            text = zlib.decompressobj(_GZIP).decompress(text, HEAD_BYTES)  # of a file that was cut, what is there
        return Head(path, text)
    except (OSError, EOFError, ValueError, IndexError, RuntimeError, zlib.error, zipfile.BadZipFile):
        return Head(path)


def checked_bytes(path: Path) -> tuple[bytes, str]:
    """Bytes of a file and their sha256, which a sibling `.CHECKSUM` must promise if there is one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None
    sha256 = hashlib.sha256(data).hexdigest()
    beside = path.with_name(path.name + CHECKSUM)
    if beside.is_file():
        promised = beside.read_text(encoding="utf-8", errors="replace").strip().split(" ")[0].lower()
        if not re.fullmatch("[0-9a-f]{64}", promised):
            raise UnreadableFileError(f"{beside} is not a sha256 checksum. Download it again, or remove it.")
        if promised != sha256:
            raise UnreadableFileError(
                f"{path} differs from its checksum ({sha256[:8]}… instead of {promised[:8]}…). Nothing was stored. "
                "Download it again."
            )
    return data, sha256


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Raise `UnreadableFileError` where the code inside fails: the file is damaged.

    Raises
    ------
    UnreadableFileError
    """
    try:
        yield
    except VirtuosoError:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise UnreadableFileError(f"{path} is damaged ({error}). Nothing was stored. Download it again.") from error


def unpacked(path: Path, data: bytes) -> bytes:
    """What is in a gzipped file, or in the one CSV of a zip; any other file as it is."""
    name = path.name.lower()
    if name.endswith(".gz"):
        with gzip.open(io.BytesIO(data)) as packed:
            data = packed.read(LARGEST_BYTES + 1)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if len(members) != 1 or not members[0].filename.lower().endswith(".csv"):
                found = ", ".join(m.filename for m in members[:5]) or "nothing"
                raise UnreadableFileError(f"{path} should hold one CSV, holds {found}. Unpack it first.")
            with archive.open(members[0]) as packed:
                data = packed.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise UnreadableFileError(f"{path} unpacks to more than {LARGEST_BYTES >> 30} GiB. Split it.")
    return data


def is_simulated(path: Path, data: bytes) -> bool:
    """Whether the comment of a zip or gzip says so; the simulator writes it because files are moved."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return _gzip_comment(data).startswith(b"simulated")
    if not name.endswith(".zip"):
        return False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.comment.startswith(b"simulated")


def _gzip_comment(data: bytes) -> bytes:
    """Comment in the header of a gzip (RFC 1952) without extra fields; empty if it has none."""
    flags = data[3] if len(data) > 10 else 0
    if not flags & 0x10 or flags & 0x04:
        return b""
    rest = data[10:]
    if flags & 0x08:
        rest = rest.partition(b"\0")[2]
    return rest.partition(b"\0")[0]

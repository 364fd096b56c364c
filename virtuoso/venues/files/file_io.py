"""The bytes of a file: the first of them to recognise it by, all of them checked and unpacked as a stream.

Every decoder begins here, so that a damaged file is the same error to each of them. Nothing is ever held whole: a file
of any size, however well it was packed, passes through in pieces.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import lzma
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Protocol

from virtuoso.errors import UnreadableFileError, VirtuosoError

TEXTS = (".csv", ".tsv", ".txt")
PACKS = ("", ".gz", ".bz2", ".xz", ".zst")
PARQUETS = (".parquet", ".pq")
FEATHERS = (".feather", ".arrow")
SUFFIXES = (
    *(".zip", *PARQUETS, *FEATHERS),
    *(kind + pack for kind in (*TEXTS, ".json") for pack in PACKS),
)
READABLE = ".csv, .tsv, .txt and .json, as they are or as .gz, .bz2, .xz and .zst; .zip, .parquet and .feather"
CHECKSUM = ".CHECKSUM"
LARGEST_BYTES = 4 << 30
WHOLE_BYTES = 24 << 20
"""Most that is read of a file which is one JSON value: in memory it takes some ten times as much."""
HEAD_BYTES = 65_536
_PIECE = 1 << 20
_ENCRYPTED = 0x1
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}  # fmt: skip


def is_table(path: Path) -> bool:
    """Whether the file's name is that of a table."""
    return path.name.lower().endswith(SUFFIXES)


def is_parquet(path: Path) -> bool:
    """Whether the file's name is that of a Parquet file."""
    return path.name.lower().endswith(PARQUETS)


def is_feather(path: Path) -> bool:
    """Whether the file's name is that of a Feather file."""
    return path.name.lower().endswith(FEATHERS)


def is_json(path: Path) -> bool:
    """Whether the file's name is that of a file of JSON."""
    return path.name.lower().endswith(tuple(".json" + pack for pack in PACKS))


def is_plain(path: Path) -> bool:
    """Whether the file's name is that of a text that is not packed."""
    return path.name.lower().endswith((*TEXTS, ".json"))


class Bytes(Protocol):
    """A stream that is read in pieces."""

    def read(self, size: int) -> bytes:
        """Return about so many bytes; none at the end."""


class Head(NamedTuple):
    """Beginning of a file, by which decoders recognise it.

    Attributes
    ----------
    path : Path
    text : bytes
        First bytes, unpacked.
    columns : tuple of str
        Of a Parquet or Feather file, as it names them.
    """

    path: Path
    text: bytes = b""
    columns: tuple[str, ...] = ()


def head_of(path: Path) -> Head:
    """Return the beginning of a file.

    Raises
    ------
    UnreadableFileError
        It is damaged from its first bytes on, packed in a way that is not read, or no file at all.
    """
    check_regular(path)
    with decoding(path):
        _reject_pages(path)
        if is_parquet(path):
            import pyarrow.parquet as pq

            return Head(path, columns=tuple(pq.read_schema(path).names))
        if is_feather(path):
            import pyarrow as pa

            with pa.memory_map(str(path)) as source:
                return Head(path, columns=tuple(pa.ipc.open_file(source).schema.names))
        with unpacked(path) as stream:
            return Head(path, _first_bytes(stream))


def _first_bytes(stream: Bytes) -> bytes:
    """First bytes of a stream, as far as there are any: what a cut file lacks, its decoder will say."""
    found = b""
    try:
        while len(found) < HEAD_BYTES and (piece := stream.read(HEAD_BYTES - len(found))):
            found += piece
    except EOFError:
        pass
    return found


class Stamp(NamedTuple):
    """By what a change of a file shows without reading it: bytes, time of the last change in ns, number on its disk."""

    size: int
    changed_ns: int
    inode: int


def check_regular(path: Path) -> Stamp:
    """Return the stamp of a file that can be opened without waiting for somebody to write it.

    Raises
    ------
    UnreadableFileError
        It is a folder, a named pipe, a socket or a device, a link to nowhere, or the system refuses it.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise UnreadableFileError(_no_file(path, error)) from None
    special = _SPECIAL.get(stat.S_IFMT(found.st_mode))
    if special is not None:
        raise UnreadableFileError(f"{path} is {special}, not a file. Save what it gives as a file first.")
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def _no_file(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"{path} is a link that leads nowhere ({error.strerror}). Remove it, or link the file again."
    return f"{path} cannot be read: {error.strerror}."


def checked_digest(path: Path) -> str:
    """Return the sha256 of a file, which a sibling `.CHECKSUM` must promise if there is one.

    Raises
    ------
    UnreadableFileError
        The file or its checksum cannot be read, or they differ.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None
    beside = path.with_name(path.name + CHECKSUM)
    if not beside.is_file():
        return sha256
    try:
        with beside.open("rb") as file:
            said = file.read(_PIECE).decode("utf-8", "replace")
    except OSError as error:
        raise UnreadableFileError(
            f"{beside} cannot be read: {error.strerror}. Make it readable, or remove it."
        ) from None
    promised = said.strip().split(" ")[0].lower()
    if not re.fullmatch("[0-9a-f]{64}", promised):
        raise UnreadableFileError(f"{beside} is not a sha256 checksum. Download it again, or remove it.")
    if promised != sha256:
        raise UnreadableFileError(
            f"{path} differs from its checksum ({sha256[:8]}… instead of {promised[:8]}…). Nothing was stored. "
            "Download it again."
        )
    return sha256


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Raise `UnreadableFileError` where the code inside fails: the file is damaged.

    Raises
    ------
    UnreadableFileError
    """
    try:
        yield
    except (VirtuosoError, MemoryError):
        raise
    except NotImplementedError as error:  # a method of packing, or an encryption, that zipfile does not know
        if type(error).__name__.startswith("Arrow"):
            raise UnreadableFileError(
                f"{path} holds a column of a type that is not read ({error}). Write numbers and text."
            ) from error
        raise UnreadableFileError(f"{path} is packed in a way that is not read ({error}). Unpack it first.") from error
    except PermissionError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        _reject_pages(path)
        said = str(error) or type(error).__name__
        raise UnreadableFileError(f"{path} is damaged ({said}). Nothing was stored. Download it again.") from error


_STRANGE: tuple[tuple[bytes, str], ...] = (
    (
        rb"\s*<(!doctype|html|head|\?xml)",
        "is a page of HTML or XML, as a server sends instead of a file. Download it again",
    ),
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the file itself. Fetch it with git lfs pull"),
    (
        rb"/annex/objects/|\.\./\.git/annex",
        "is a pointer of git-annex, not the file itself. Fetch it with git annex get",
    ),
    (rb"PK\x03\x04.{22,60}(\[Content_Types\]|_rels/|xl/)", "is a spreadsheet. Save its table as CSV"),
    (rb"PK\x03\x04", "is a zip. Name it .zip"),
    (rb"\x1f\x8b", "is gzipped. Name it .gz"),
    (rb"BZh\d", "is packed with bzip2. Name it .bz2"),
    (rb"\xfd7zXZ\x00", "is packed with xz. Name it .xz"),
    (rb"\x28\xb5\x2f\xfd", "is packed with zstd. Name it .zst"),
    (rb"PAR1", "is a Parquet file. Name it .parquet"),
    (rb"ARROW1|FEA1", "is a Feather file. Name it .feather"),
    (rb"SQLite format 3", "is a database of SQLite. Write its table as CSV"),
    (rb"\x89HDF", "is an HDF5 file. Write its table as Parquet"),
    (rb"\xd0\xcf\x11\xe0", "is a spreadsheet. Save its table as CSV"),
    (rb"\x80[\x02-\x05]", "is a pickle, which may run code when it is read. Write its table as Parquet"),
    (rb"\x93NUMPY", "is an array of NumPy without names of columns. Write it as a table with a header"),
    (rb"7z\xbc\xaf|Rar!", "is packed in a way that is not read. Unpack it first"),
    (rb"-----BEGIN PGP|Salted__", "is encrypted. Decrypt it first"),
)
"""Beginnings of files that are no text, whatever their names say, with what they are and what to do."""


_PAGES = _STRANGE[:3]
"""Those that lie under any name: what a server or a repository gives instead of the file."""


def _reject_pages(path: Path) -> None:
    """Reject a file that begins as what is given instead of it, whatever its name."""
    with path.open("rb") as file:
        _reject_strange(path, file.read(200), _PAGES, "" if is_plain(path) else "is damaged: it ")


def _reject_strange(
    path: Path, beginning: bytes, forms: tuple[tuple[bytes, str], ...] = _STRANGE, first: str = ""
) -> None:
    """Reject what begins as no text does; `first` is said of it first."""
    for form, said in forms:
        if re.match(form, beginning, re.IGNORECASE | re.DOTALL):
            raise UnreadableFileError(f"{path} {first}{said}. Nothing was stored.")


@contextmanager
def unpacked(path: Path) -> Iterator[Bytes]:
    """Open what is in a gzipped file, or in the one CSV of a zip, or any other file as it is; text as UTF-8.

    Raises
    ------
    UnreadableFileError
        A zip does not hold one CSV that can be unpacked; while reading, more than `LARGEST_BYTES` come out.
    """
    name = path.name.lower()
    with ExitStack() as opened:
        if name.endswith(".zip"):
            archive = opened.enter_context(zipfile.ZipFile(path))
            stream: Any = opened.enter_context(archive.open(_the_csv(path, archive)))
        elif name.endswith(".gz"):
            raw = opened.enter_context(path.open("rb"))
            _reject_plain(path, raw)
            stream = opened.enter_context(gzip.GzipFile(fileobj=raw))
        elif name.endswith((".bz2", ".xz")):
            opener: Any = bz2.BZ2File if name.endswith(".bz2") else lzma.LZMAFile
            stream = opened.enter_context(opener(path))
        elif name.endswith(".zst"):
            import pyarrow as pa

            stream = opened.enter_context(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"))
        else:
            stream = opened.enter_context(path.open("rb"))
        yield _Text(path, stream)


def _reject_plain(path: Path, raw: IO[bytes]) -> None:
    """Reject what only its name calls gzipped; a file without a byte is empty, whatever its name."""
    start = raw.read(2)
    raw.seek(0)
    if start and start != b"\x1f\x8b":
        raise UnreadableFileError(f"{path} is not gzipped, though its name says so. Rename it, or download it again.")


def _the_csv(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one CSV of a zip; what a Mac adds beside it is not counted."""
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    members = [m for m in members if not PurePosixPath(m.filename).name.startswith(".")]
    if len(members) != 1 or not members[0].filename.lower().endswith(TEXTS):
        found = ", ".join(m.filename for m in members[:5]) or "nothing"
        raise UnreadableFileError(f"{path} should hold one CSV, holds {found}. Unpack it first.")
    if members[0].flag_bits & _ENCRYPTED:
        raise UnreadableFileError(f"{path} is encrypted. Unpack it with its password first.")
    return members[0]


class _Text:
    """What a stream gives, UTF-16 as UTF-8; not more than `LARGEST_BYTES` of it."""

    def __init__(self, path: Path, stream: Any) -> None:
        self._path = path
        self._stream = stream
        self._n_bytes = 0
        self._decoder: codecs.IncrementalDecoder | None = None

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, or somewhat more of UTF-16; none at the end."""
        while True:
            piece = self._stream.read1(size)
            if self._n_bytes == 0:
                _reject_strange(self._path, piece[:200])
            if self._n_bytes == 0 and piece.startswith(_UTF_16):
                self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
            self._n_bytes += len(piece)
            if self._n_bytes > LARGEST_BYTES:
                raise UnreadableFileError(f"{self._path} unpacks to more than {LARGEST_BYTES >> 30} GiB. Split it.")
            text = piece if self._decoder is None else self._decoder.decode(piece, not piece).encode("utf-8", "replace")
            if text or not piece:
                return bytes(text)


def whole(path: Path, stream: Bytes) -> bytes:
    """Return all that a stream gives, of a file that can only be understood as a whole.

    Raises
    ------
    UnreadableFileError
        It is more than `WHOLE_BYTES`.
    """
    found = bytearray()
    while piece := stream.read(_PIECE):
        found += piece
        if len(found) > WHOLE_BYTES:
            raise UnreadableFileError(f"{path} holds more than {WHOLE_BYTES >> 20} MiB of JSON. Split it.")
    return bytes(found)


def is_simulated(path: Path) -> bool:
    """Whether the comment of a zip or gzip says so; the simulator writes it because files are moved."""
    name = path.name.lower()
    if name.endswith(".gz"):
        with path.open("rb") as file:
            return _gzip_comment(file.read(HEAD_BYTES)).startswith(b"simulated")
    if not name.endswith(".zip"):
        return False
    with zipfile.ZipFile(path) as archive:
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

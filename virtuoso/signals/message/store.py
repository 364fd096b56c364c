"""The folder of signals: one JSON file each, whole or not at all, never overwritten.

Names are `{SYMBOL}_{YYYYMMDD_HHMMSS}_data.json`, in UTC, of the close at which the signal was decided. Where two would
share a name, the later one's first part carries venue and timeframe, and if that is taken too, its id. A simulated
market says so in every name. A signal that is there already is not written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from virtuoso.account.instrument import compact
from virtuoso.clock import iso
from virtuoso.errors import AmbiguousError, NoDataError
from virtuoso.files.atomic import Disk
from virtuoso.signals.message.signal import FileKind, Signal

NAME = re.compile(r"(?P<symbol>[A-Z0-9]{2,30})(?P<marks>(-[A-Z0-9]+)*)_(?P<time>\d{8}_\d{6})_data\.json")
KINDS: Mapping[FileKind, tuple[str, str, str]] = {
    "json": ("json", "data", "json"),
    "pdf": ("pdfs", "report", "pdf"),
    "chart": ("charts", "chart", "png"),
}
"""Folder, word and suffix of each file of a signal."""
SHORT_ID = 8


def stems(signal: Signal) -> Iterator[str]:
    """First parts of the file names of a signal, in the order in which they are tried."""
    time = datetime.fromtimestamp(signal.timestamp / 1000, UTC).strftime("%Y%m%d_%H%M%S")
    marked = f"{signal.symbol}-SIMULATED" if signal.simulated else signal.symbol
    where = f"{signal.symbol}-{signal.venue}-{signal.timeframe}".upper()
    yield f"{marked}_{time}"
    yield f"{where}_{time}"
    yield f"{where}-{signal.id[:SHORT_ID].upper()}_{time}"
    yield f"{where}-{signal.id.upper()}_{time}"


def references(stem: str, kinds: Sequence[FileKind]) -> dict[FileKind, str | None]:
    """Paths of the files of a signal, as its `file_references` hold them."""
    return {
        kind: f"/reports/{folder}/{stem}_{word}.{suffix}" if kind in kinds else None
        for kind, (folder, word, suffix) in KINDS.items()
    }


class SignalFolder:
    """Signals on disk, below one folder.

    Parameters
    ----------
    root : Path
        The reports folder (`signals.reports`); JSON lies in its `json`.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.folder = self.root / "json"

    def __repr__(self) -> str:
        return f"SignalFolder({str(self.root)!r})"

    def save(self, signal: Signal, kinds: Sequence[FileKind] = ("json",)) -> Signal:
        """Write a signal, unless it is there already.

        Parameters
        ----------
        signal : Signal
        kinds : sequence of str
            Which of 'json', 'pdf' and 'chart' are written for it; the others are null in `file_references`.

        Returns
        -------
        Signal
            As it stands on disk, with its `file_references`.
        """
        for stem in stems(signal):
            target = self.folder / f"{stem}_data.json"
            named = signal.model_copy(update={"file_references": references(stem, kinds)})
            if _create(target, named.to_json().encode()):
                return named
            there = self._read(target)
            if there.id == signal.id:
                return there
        raise AmbiguousError(f"Every name of signal {signal.id} is taken in {self.folder}. Look at {target.name}.")

    def list(
        self,
        symbol: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Signal]:
        """Return signals, newest first.

        Parameters
        ----------
        symbol : str, optional
            `BTCUSDT` or `BTC/USDT:USDT`.
        since_ms, until_ms : int, ms, optional
            Of their timestamps: from inclusive, to exclusive.
        limit : int, optional
            At most this many.
        """
        wanted = None if symbol is None else compact(symbol)
        names = []
        for file in self._files():
            match = NAME.fullmatch(file.name)
            if match is None or (wanted is not None and match["symbol"] != wanted):
                continue
            time = int(datetime.strptime(match["time"], "%Y%m%d_%H%M%S").replace(tzinfo=UTC).timestamp() * 1000)
            if (since_ms is None or time >= since_ms) and (until_ms is None or time < until_ms):
                names.append((time, file.name))
        names.sort(reverse=True)
        return [self._read(self.folder / name) for _, name in names[:limit]]

    def read(self, key: str) -> Signal:
        """Return one signal by its id (or the beginning of it, eight digits or more) or its file name.

        Raises
        ------
        NoDataError
            There is none.
        AmbiguousError
            The beginning of an id fits several.
        """
        if NAME.fullmatch(key):
            file = self.folder / key
            if not file.is_file():
                raise NoDataError(f"There is no signal {key} in {self.folder}. Try virtuoso signals list.")
            return self._read(file)
        if not re.fullmatch(r"[0-9a-f]{8,24}", key):
            raise NoDataError(f"{key!r} is neither the id of a signal nor its file name. Try virtuoso signals list.")
        found = [signal for signal in map(self._read, self._files()) if signal.id.startswith(key)]
        if not found:
            raise NoDataError(f"There is no signal with the id {key} in {self.folder}. Try virtuoso signals list.")
        if len(found) > 1:
            both = " and ".join(f"{s.id} ({s.symbol} {s.venue} {iso(s.timestamp)})" for s in found[:2])
            raise AmbiguousError(f"The id {key} fits {len(found)} signals, such as {both}. Give more digits.")
        return found[0]

    def _files(self) -> Sequence[Path]:
        """Files of signals, in the order of their names."""
        if not self.folder.is_dir():
            return []
        return sorted(file for file in self.folder.iterdir() if NAME.fullmatch(file.name))

    def _read(self, file: Path) -> Signal:
        return Signal.from_json(file.read_bytes(), where=str(file))


def _create(target: Path, data: bytes) -> bool:
    """Write a file, whole or not at all; say no where the name is taken."""
    try:
        Disk().write(target, data, replace=False)
    except FileExistsError:
        return False
    return True

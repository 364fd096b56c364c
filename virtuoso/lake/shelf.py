"""One kind of the lake while it is being written: its generation, and the next one."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from virtuoso.lake.manifest import Manifest, Retired, Series

if TYPE_CHECKING:
    from virtuoso.lake.lake import Lake

log = logging.getLogger(__name__)


class Shelf:
    """The files of one kind, and the one generation that names them.

    Parameters
    ----------
    lake : Lake
        Whose lock is held.
    kind : str
        'bars', or a name of market/schema/kinds.py.
    strays : sequence of str
        Files among the retired that no generation knows of.

    Attributes
    ----------
    manifest : Manifest
        The generation it builds on; the new one after `publish`.
    """

    def __init__(self, lake: Lake, kind: str, strays: Sequence[str] = ()) -> None:
        self.lake = lake
        self.kind = kind
        self.manifest = lake.manifest(kind)
        self._strays = strays
        self.history = {key: (s.first, s.last) for key, s in self.manifest.series.items() if s.files}
        """Extent of each series when writing began, ms: what comes inside it is late."""

    def begin(self) -> None:
        """Say that nothing is stored yet, before the first file is: cut short, a first write is no lost manifest."""
        generations = self.lake.generations_of(self.kind)
        if not generations.names():
            generations.begin(self.lake.disk)

    def take(self, written: Iterable[Series]) -> None:
        """Publish changed series; without a change, nothing is written."""
        manifest = self.manifest
        for series in written:
            manifest = manifest.with_series(series)
        if manifest.series != self.manifest.series:
            self.publish(manifest)

    def publish(self, manifest: Manifest) -> None:
        """Write the next generation and retire the files that it does not name any more."""
        now_ms, root, disk = self.lake.env.now_ms(), self.lake.path, self.lake.disk
        before = self.manifest
        gone = sorted((before.paths() | set(self._strays)) - manifest.paths())
        waiting = [file for file in manifest.retired if (root / "retired" / file.path).exists()]
        retired = (*waiting, *(Retired(path, before.generation, now_ms) for path in gone))
        generations = self.lake.generations_of(self.kind)
        self.manifest = generations.commit(replace(manifest, retired=retired), disk, now_ms)
        self._strays = ()
        for path in gone:
            try:
                disk.move(root / path, root / "retired" / path)
            except OSError as error:  # the new generation stands; the next writer sweeps what is left
                log.warning("%s could not be retired: %s", path, error)

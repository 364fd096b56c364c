"""Write the tear sheet of a run: one page, and the same on paper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from virtuoso.files.atomic import Disk
from virtuoso.reports.tearsheet.html import pages
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.tearsheet.pdf import pdf
from virtuoso.runs.read import read_run
from virtuoso.runs.schema import TEARSHEET_HTML, TEARSHEET_PDF


def write_tearsheet(
    folder: Path | str, out: Path | str | None = None, *, name: str | None = None, paper: bool = True
) -> list[Path]:
    """Write the tear sheet of a run, as HTML and as PDF.

    Parameters
    ----------
    folder : Path or str
        The run folder.
    out : Path or str, optional
        Where to write it; into the run folder if absent. An older tear sheet there is replaced.
    name : str, optional
        Name of the run; that of the folder if absent.
    paper : bool
        Whether the PDF is wanted too.

    Returns
    -------
    list of Path
        The page, and the PDF. A page that were too heavy lies beside pages of its instruments, which it links.

    Raises
    ------
    NoDataError
        It is not a run folder.
    UnreadableFileError
        A file of it is not what its name says.
    """
    run = read_run(folder)
    sheet = TearSheet(run if name is None else replace(run, name=name))
    target = Path(folder if out is None else out)
    disk = Disk()
    disk.make_folder(target)
    made = [target / TEARSHEET_HTML]
    for part, text in pages(sheet).items():
        disk.write(target / part, text.encode())
    if paper:
        made.append(target / TEARSHEET_PDF)
        disk.write(made[-1], pdf(sheet))
    return made

"""Stage `simulate`: write the simulated market as archive files, such as a venue publishes.

By hand: `python pipelines/simulate.py`.
"""

import shutil
from pathlib import Path

from virtuoso.config.sources import read_yaml
from virtuoso.venues.simulator import record, write_recordings


def main() -> None:
    """Make the market of a seed; the same seed gives the same bytes."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    told = params["simulate"]
    shutil.rmtree(Path(told["folder"]) / "simulated", ignore_errors=True)  # they may be links into DVC's cache
    streams = {"trade_days": told["trade_days"], "book_days": told["book_days"]}
    files = write_recordings(told["folder"], record(params["symbols"], told["days"], told["seed"], **streams))
    print(f"wrote {len(files)} files of a simulated market to {files[0].parent}")


if __name__ == "__main__":
    main()

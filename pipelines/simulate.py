"""Stage `simulate`: write the simulated market as archive files, such as a venue publishes.

By hand: `python pipelines/simulate.py`.
"""

import shutil
from pathlib import Path

import yaml

from virtuoso.venues.simulator import simulate, write_archive


def main() -> None:
    """Make the market of a seed; the same seed gives the same bytes."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    told = params["simulate"]
    shutil.rmtree(Path(told["folder"]) / "simulated", ignore_errors=True)  # they may be links into DVC's cache
    files = write_archive(told["folder"], simulate(params["symbols"], days=told["days"], seed=told["seed"]))
    print(f"wrote {len(files)} files of simulated bars to {files[0].parent}")


if __name__ == "__main__":
    main()

"""Stage `tune`: run a study, and write down what its winners did on days that no winner had seen.

By hand: `python pipelines/tune.py`, which goes on with a study that was stopped.
"""

import shutil
from pathlib import Path

from virtuoso import workflows
from virtuoso.config.sources import read_yaml
from virtuoso.errors import ConfigError
from virtuoso.files.atomic import Disk
from virtuoso.files.json import to_json
from virtuoso.research.tuning.study import Study

NAME = "pipeline"


def main() -> None:
    """Write the study's folder `experiments/studies/pipeline`, and a few of its figures below the data root."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    root, told = Path(params["data"]), params["tune"]
    study = Study.read(told["study"])
    market = study.market.model_copy(update={"venue": params["import"]["venue"], "symbols": tuple(told["symbols"])})
    terms = {name: value for name, value in params["backtest"].items() if value is not None}
    given = {"name": NAME, "trials": told["trials"], "seed": told["seed"], "terms": terms}
    study = study.changed(market=market.model_dump(mode="json"), **given)
    try:
        found = workflows.tune(study, data=root)
    except ConfigError:  # data, space or code changed: it begins anew, and what was tried stays in the ledger
        shutil.rmtree(Path("experiments/studies") / NAME, ignore_errors=True)
        found = workflows.tune(study, data=root)
    figures = {"trials": found.n_trials, "result_hash": found.result_hash, **found.outside}
    Disk().write(root / "metrics" / "tune.json", to_json(figures).encode())
    print(found)


if __name__ == "__main__":
    main()

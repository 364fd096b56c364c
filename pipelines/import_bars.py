"""Stage `import`: bring archive files into the lake, and write down what the lake then holds.

The lake belongs to no stage: a recording cannot be made again, so DVC neither stores nor removes it. The stage writes
fingerprints of its contents, and what comes after runs again when they change.
"""

import json
from pathlib import Path

import yaml

from virtuoso import verbs

WRITTEN = ("symbol", "timeframe", "start_utc", "end_utc", "bars", "missing", "gaps")  # not how bars lie in files


def main() -> None:
    """Import, then write `imported.json` below the data root."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    told, root = params["import"], Path(params["data"])
    report = verbs.import_files(told["paths"], venue=told["venue"], data=root)
    for file in report.failed:
        print(f"{file.path}: {file.error}")
    if not report.ok:
        raise SystemExit(1)
    lake = verbs.lake(root)
    held = [
        {name: one.to_dict()[name] for name in WRITTEN}
        | {"fingerprint": lake.fingerprint(one.symbol, one.timeframe, venue=one.venue)}
        for one in lake.coverage()
        if one.venue == told["venue"]
    ]
    target = root / "imported.json"
    target.unlink(missing_ok=True)  # it may be a link into DVC's cache
    target.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
    print(f"stored {report.total('stored'):,} bars; the lake holds {len(held)} series of {told['venue']}")


if __name__ == "__main__":
    main()

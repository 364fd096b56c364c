"""Stage `import`: bring archive files into the lake, and write down what the lake then holds.

The lake belongs to no stage: a recording cannot be made again, so DVC neither stores nor removes it. The stage writes
fingerprints of its contents, and what comes after runs again when they change.
"""

from pathlib import Path

from virtuoso import workflows
from virtuoso.account.instrument import Instrument
from virtuoso.config.sources import read_yaml
from virtuoso.files.atomic import Disk
from virtuoso.files.json import to_json

TOLD = ("kind", "symbol", "timeframe", "start_utc", "end_utc", "bars", "rows", "missing", "gaps")  # not how they lie


def main() -> None:
    """Import, then write `imported.json` below the data root."""
    params = read_yaml(Path("params.yaml").absolute(), Path.cwd()).tree
    venue, root = params["import"]["venue"], Path(params["data"])
    report = workflows.import_files(params["import"]["paths"], venue=venue, data=root)
    if not report.ok:
        raise SystemExit("\n".join(f"{file.path}: {file.error}" for file in report.failed))
    lake = workflows.lake(root)
    bars = ((one, lake.fingerprint(one.symbol, one.timeframe, venue=one.venue)) for one in lake.coverage())
    events = ((one, lake.events(one.kind, Instrument(one.venue, one.symbol)).digest()) for one in lake.event_coverage())
    held = [
        {name: value for name, value in one.to_dict().items() if name in TOLD} | {"fingerprint": digest}
        for one, digest in (*bars, *events)
        if one.venue == venue
    ]
    Disk().write(root / "imported.json", to_json(held).encode())  # in place of a link into DVC's cache, if it is one
    print(f"stored {report.total('stored'):,} rows; the lake holds {len(held)} series of {venue}")


if __name__ == "__main__":
    main()

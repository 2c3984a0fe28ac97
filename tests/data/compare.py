"""Holds the readings of a lake against the CSV files that were replayed into it.

compare.py LAKE FILE.csv…: every row of every file has to be there once, with its exact time and value, and
nothing else. Read with DuckDB and Python's own csv and float.
"""

import csv
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path

import duckdb

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(cell):
    time = datetime.fromisoformat(cell)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // MICROSECOND


def number_and_text(cell):
    """The bits of a finite number, or the text."""
    try:
        number = float(cell)
    except ValueError:
        return None, cell
    return (number.hex(), None) if isfinite(number) else (None, cell)


def sent(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        _, *metrics = next(rows)
        for seq, (time, *cells) in enumerate(rows, start=1):
            for metric, cell in zip(metrics, cells):
                if cell.strip():
                    yield path.stem, metric, micros(time), seq, *number_and_text(cell)


def stored(lake):
    files = f"{lake}/readings/**/*.parquet"
    rows = duckdb.execute(
        "SELECT device_id, metric, epoch_us(ts), seq, value, text FROM read_parquet(?, union_by_name = true)", [files]
    )
    for device, metric, ts, seq, value, text in rows.fetchall():
        yield device, metric, ts, seq, None if value is None else value.hex(), text


def main():
    lake, *paths = sys.argv[1:]
    expected = Counter(row for path in paths for row in sent(Path(path)))
    found = Counter(stored(lake))
    for problem, rows in ("missing", expected - found), ("repeated, altered or unexplained", found - expected):
        for row in list(rows.elements())[:5]:
            print(problem, *row, file=sys.stderr)
        if rows:
            print(rows.total(), "rows are", problem, file=sys.stderr)
    print(json.dumps({"rows": found.total()}))
    return int(found != expected)


sys.exit(main())

"""Reads the readings of a lake over and over until SIGTERM: somebody else's dashboard.

watch.py LAKE: fails when a file cannot be read, a row is there twice, or rows have gone. A file that is there no more was
merged with others after the directory was listed: then it reads once more. Prints how often it has read, and read again.
"""

import json
import signal
import sys
import threading
from glob import glob

import duckdb

PAUSE_SECS = 0.05

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
duckdb.execute("SET threads = 1")
print("watching", file=sys.stderr, flush=True)

files, reads, rows, again = f"{sys.argv[1]}/readings/**/*.parquet", 0, 0, 0
while not stop.wait(PAUSE_SECS):
    if not glob(files, recursive=True):
        continue
    before = rows
    try:
        rows, distinct = duckdb.execute(
            "SELECT count(*), count(DISTINCT (device_id, metric, ts, seq)) FROM read_parquet(?, union_by_name = true)",
            [files],
        ).fetchone()
    except duckdb.IOException as error:
        if "No such file" not in str(error):
            raise
        again += 1
        continue
    reads += 1
    if rows != distinct:
        sys.exit(f"{rows - distinct} of {rows} rows are there twice")
    if rows < before:
        sys.exit(f"there were {before} rows, and now {rows}")
print(json.dumps({"reads": reads, "again": again, "rows": rows}))

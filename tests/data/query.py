"""Runs a query of DuckDB in the directory of a lake and prints its rows as a JSON list of objects."""

import json
import sys

import duckdb

rows = duckdb.execute(sys.argv[1])
names = [column[0] for column in rows.description]
print(json.dumps([dict(zip(names, row)) for row in rows.fetchall()]))

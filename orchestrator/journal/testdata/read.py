"""Reads a run's rollouts with pandas, with DuckDB and with pyarrow alone: prints what
each makes of the columns' types, and of the rows, as one JSON object."""
import json
import sys

import duckdb
import pandas
import pyarrow.parquet

path = sys.argv[1]


def plain(v):
    """v as JSON has it: arrays are lists, a missing list is null."""
    if hasattr(v, "tolist"):
        v = v.tolist()
    if isinstance(v, float) and v != v:
        return None
    return v


frame = pandas.read_parquet(path)
table = pyarrow.parquet.read_table(path)
relation = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [path])
names = [d[0] for d in relation.description]
rows = relation.fetchall()
types = {r[0]: r[1] for r in duckdb.connect().execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()}
mean = duckdb.connect().execute(
    'SELECT "group", avg(reward), sum(len(token_ids)), count(*) FILTER (WHERE logprobs IS NULL) FROM read_parquet(?) GROUP BY 1 ORDER BY 1', [path]
).fetchall()
json.dump({
    "pandas": [{k: plain(v) for k, v in r.items()} for r in frame.to_dict("records")],
    "duckdb": [dict(zip(names, r)) for r in rows],
    "duckdb_types": types,
    "arrow_types": {f.name: str(f.type) for f in table.schema},
    "groups": mean,
    "row_groups": pyarrow.parquet.ParquetFile(path).num_row_groups,
}, sys.stdout)

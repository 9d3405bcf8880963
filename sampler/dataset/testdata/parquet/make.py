"""Writes the parquet files of this folder: the same five rows by other writers' ways.

    pip install pyarrow==26.0.1 && python make.py
"""
import os
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
message = pa.struct([("content", pa.string()), ("role", pa.string())])
rows = pa.table({
    "data_source": pa.array(["made"] * 5),
    "prompt": pa.array([[{"content": f"What is {i} + {i}?", "role": "user"}] for i in range(5)], pa.list_(message)),
    "reward_model": pa.array([{"ground_truth": str(2 * i), "style": "rule"} for i in range(5)]),
    "extra_info": pa.array([{"index": f"id-{i}"} for i in range(5)]),
    "note": pa.array([None, "a", None, "a", None]),
    "flags": pa.array([[1, 2], [], None, [3], [4, 5, 6]], pa.list_(pa.int64())),
    "easy": pa.array([True, False, None, True, True]),
    "weight": pa.array([0.5, 1.5, 2.5, None, 4.5]),
})

for codec in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"]:
    for version in ["1.0", "2.0"]:
        pq.write_table(rows, f"{here}/pyarrow-{codec}-v{version[0]}.parquet", compression=codec,
                       data_page_version=version, row_group_size=3, write_statistics=False, store_schema=False)
plain = {"compression": "none", "use_dictionary": False, "store_schema": False}
for encoding in ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]:
    pq.write_table(rows, f"{here}/pyarrow-{encoding.lower()}.parquet", column_encoding={
        "data_source": encoding, "prompt.list.element.content": encoding, "prompt.list.element.role": encoding,
        "reward_model.ground_truth": encoding, "reward_model.style": encoding, "extra_info.index": encoding,
        "note": encoding, "flags.list.element": "DELTA_BINARY_PACKED", "easy": "PLAIN", "weight": "BYTE_STREAM_SPLIT",
    }, **plain)
pq.write_table(rows, f"{here}/pyarrow-checksums.parquet", write_page_checksum=True, data_page_size=1, store_schema=False)

# Row groups without rows, which pyarrow writes with no place of their pages.
with pq.ParquetWriter(f"{here}/pyarrow-empty-groups.parquet", rows.schema, store_schema=False) as w:
    for part in [rows.slice(0, 0), rows.slice(0, 3), rows.slice(0, 0), rows.slice(3), rows.slice(0, 0)]:
        w.write_table(part)
os.makedirs(f"{here}/empty", exist_ok=True)
pq.write_table(rows.slice(0, 0), f"{here}/empty/pyarrow-table.parquet", store_schema=False)
with pq.ParquetWriter(f"{here}/empty/pyarrow-groups.parquet", rows.schema, store_schema=False) as w:
    for _ in range(2):
        w.write_table(rows.slice(0, 0))

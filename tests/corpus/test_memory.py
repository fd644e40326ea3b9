"""Reading does not hold the documents: memory grows by the ids' hashes and by nothing else."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from sememe.corpus import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
n = sum(1 for _ in read(sys.argv[1]))
print(n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _grown_kib(path) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, path], capture_output=True, text=True, check=True)
    n, grown = done.stdout.split()
    return int(n), int(grown)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_memory_grows_by_less_than_a_kilobyte_a_record(tmp_path, kind):
    n, text = 100_000, "some words of an abstract " * 40  # 100 MB of text
    path = tmp_path / f"many.{kind}"
    if kind == "parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        rows = arrow.table({"id": [f"doc-{i}" for i in range(n)], "text": [f"{i} {text}" for i in range(n)]})
        parquet.write_table(rows, path, row_group_size=20_000, use_dictionary=False)
    else:
        with open(path, "w") as stream:
            if kind == "csv":
                stream.write("id,text\n")
            for i in range(n):
                record = {"id": f"doc-{i}", "text": f"{i} {text}"}
                stream.write(",".join(record.values()) if kind == "csv" else json.dumps(record))
                stream.write("\n")
    read, grown = _grown_kib(path)
    assert read == n
    # The goal is 1 GB for a million records. A tenth of it would be 100 MB; pyarrow's own code takes 60 of them.
    assert grown < (130 if kind == "parquet" else 40) * 1024

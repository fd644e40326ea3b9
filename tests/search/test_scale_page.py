"""docs/scale.md shows what the measured constants give, and the arithmetic is what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.scale_table import PAGE, Machine, cost, growth, render  # noqa: E402


@pytest.fixture
def measures():
    path = ROOT / "benchmarks" / "results" / "scale.json"
    if not path.exists():
        pytest.skip(f"{path.name} was not measured yet: python -m benchmarks scale")
    return json.loads(path.read_text())


def test_the_tables_of_the_page_are_those_of_the_result_file(measures):
    page = PAGE.read_text()
    assert render(page, measures) == page


def test_growth_is_the_power_that_the_points_lie_on():
    assert growth({"1000": 20, "4000": 40, "16000": 80}) == (16000, 80.0, pytest.approx(0.5))
    assert growth({"1000": 40, "4000": 40}) == (4000, 40.0, pytest.approx(0.0))
    assert growth({"1000": 20, "4000": None}) is None  # the largest does not reach the target


def test_a_worked_example():
    measures = {
        "texts": {"text_bytes": 1000.0, "lexical_bytes": 464.0},
        "rows": {"float32": {"row_bytes": 1536, "us_per_row": 2.0}},
        "stages": {
            "binary": {"bytes_per_vector": 56.0, "ns_per_vector": 3.0, "candidates": {"100": 10, "10000": 100}},
            "ivf": {
                "bytes_per_vector": 60.0,
                "ns_per_vector": 0.1,
                "share_read": 0.05,
                "candidates": {"100": 200, "10000": 200},
            },
        },
        "exact": {"ns_per_vector": 100.0},
        "filter_mask_ns_per_vector": 1.0,
        "map_bytes_per_vector": 18,
        "hnsw": {"bytes_per_vector": 1700.0},
    }
    machine = Machine(memory_gib=1, usable=0.5, disk_tb=1, cores=10, queries_per_second=5)
    found = cost(measures, "binary", 1e6, machine)
    assert found.memory == 1e6 * (56 + 18)
    assert found.disk == 1e6 * (1536 + 1464)
    assert found.candidates == pytest.approx(1000)  # 100 at 10,000, as the square root
    assert found.core_seconds == pytest.approx(1e6 * 4e-9 + 1000 * 2e-6)
    assert found.machines == 1
    assert cost(measures, "binary", 1e9, machine).machines == 138  # memory: 74e9 bytes of half a GiB each
    assert cost(measures, "graph", 1e6, machine).memory == 1.7e9
    assert cost(measures, "exact", 1e6, machine).core_seconds == pytest.approx(0.101)
    # 4,000 cells, of which twice the square root are read for 200 candidates, at 2 ns a code.
    in_cells = 1e6 * 2 / 4000**0.5 * 2e-9 + 4000 * 100e-9 + 1e6 * 1e-9 + 200 * 2e-6
    assert cost(measures, "ivf", 1e6, machine).core_seconds == pytest.approx(in_cells)

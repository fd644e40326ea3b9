"""Benchmarks against named peers; `python -m benchmarks` runs them. See `benchmarks.harness` for the rules."""

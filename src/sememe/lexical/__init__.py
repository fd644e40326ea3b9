"""Searching by words: cutting texts into stems, and BM25."""

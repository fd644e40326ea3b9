"""Circuits: which attention heads do a job, found from pairs of prompts."""

"""The training loop, and what an objective brings to it."""

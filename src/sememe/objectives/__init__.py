"""Training objectives: one file each, a loss with what it needs."""

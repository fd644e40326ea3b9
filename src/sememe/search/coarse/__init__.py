"""First stages: what is held in memory to propose rows, whose exact scores are then read from the bank."""

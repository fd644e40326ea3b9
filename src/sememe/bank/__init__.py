"""Vectors on disk, and harvesting into them."""

from sememe.bank.bank import Bank
from sememe.bank.harvest import harvest

__all__ = ["Bank", "harvest"]

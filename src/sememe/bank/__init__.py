"""Vectors on disk, and harvesting into them."""

from sememe.bank.bank import Bank

__all__ = ["Bank"]

"""Vectors on disk, and harvesting into them."""

from sememe.bank.bank import Bank
from sememe.bank.harvest import harvest, harvest_sites

__all__ = ["Bank", "harvest", "harvest_sites"]

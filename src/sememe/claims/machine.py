"""On which machine, and with which versions, a figure was measured."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from sememe.version import __version__

PACKAGES = ("numpy", "scipy", "torch", "transformers", "faiss-cpu", "bm25s")
THREADS = "OMP_NUM_THREADS"


def describe_machine() -> dict[str, Any]:
    """The processor's name, usable cores, threads (None: as many as cores), memory in MiB, and operating system.

    And the accelerator's name, where torch was used and sees one.
    """
    torch = sys.modules.get("torch")
    accelerator = {"accelerator": torch.cuda.get_device_name()} if torch and torch.cuda.is_available() else {}
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get(THREADS),
        "memory_mib": pages * page_bytes >> 20,
        "system": f"{platform.system()} {platform.machine()}",
        **accelerator,
    }


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """The versions of Sememe, Python and those of the packages that are installed."""
    found = {"sememe": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mib() -> float:
    """The largest resident memory of this process since it started."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()

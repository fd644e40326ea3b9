"""Batches side by side: one batch a processor thread, instead of all threads on one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(work: Callable[[Item], Result], items: Sequence[Item], device: Any) -> Iterator[Result]:
    """`work` on every item, in order, with as many threads as torch may use on a processor.

    Torch's own threads wait for each other after every operation, hundreds of times a batch. When there are several
    batches for each thread, every thread therefore works on a batch of its own. Work on few items, or on a GPU, goes
    item by item. The work must not depend on what another thread does.

    Args:
        work: a function that calls torch.
        items: one batch each, the longest first.
        device: where the work's tensors are.

    """
    import torch

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(items) < 2 * threads:
        yield from map(work, items)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, items)
    finally:
        # Workers set their own OpenMP threads, but MKL's for the whole process.
        torch.set_num_threads(threads)

"""Where models run, in which precision, and how much they compute at once."""

from __future__ import annotations

from typing import Any

from sememe.errors import InputError

_DTYPES = ("float32", "bfloat16", "float16")

# Measured with MiniLM on two cores: batches of about 1,000 tokens, whose activations stay in the cache, need 10%
# less processor time than those of 4,000 and 25% less than those of 8,000. A GPU needs large ones to be busy.
_TOKENS_PER_TEXT = {"cpu": 32}
_TOKENS_PER_TEXT_ELSEWHERE = 512


def pick_device(device: str | None) -> Any:
    """A torch device: the one that is named, else the GPU when there is one, else the processor.

    Raises:
        InputError: the name is not a device of this machine.

    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"cannot use the device {device!r} ({reason})", hint="Give cpu, cuda or cuda:N") from None
    return target


def pick_dtype(dtype: str | None) -> Any:
    """A torch dtype by its name; float32 when none is given.

    Raises:
        InputError: it is none that models compute in.

    """
    import torch

    if dtype is None:
        return torch.float32
    if dtype not in _DTYPES:
        raise InputError(f"unknown dtype {dtype!r}", hint=f"Give one of {', '.join(_DTYPES)}")
    return getattr(torch, dtype)


def token_budget(batch_size: int, device: Any) -> int:
    """How many tokens a batch of `batch_size` texts may have, padding included, to be fast on `device`.

    Raises:
        InputError: the batch size is not positive.

    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}", hint="Give 1 or more")
    return batch_size * _TOKENS_PER_TEXT.get(device.type, _TOKENS_PER_TEXT_ELSEWHERE)

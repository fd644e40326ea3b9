"""Data sets of the Hugging Face hub, streamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from sememe.corpus.entries import Fields
from sememe.errors import InputError, SememeError
from sememe.extras import require

HUB_ID = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?"
    r"(?::(?P<config>[\w. -]+)(?=:))?(?::(?P<split>[\w.-]+))?"
)


def hub_records(identifier: str) -> Callable[[], Iterator[tuple[int, Fields]]]:
    """The rows of `OWNER/NAME[@REVISION][:[CONFIG:]SPLIT]`, as a function that starts reading from the first.

    Without a split it is `train`, or the only one. Only data are read: `datasets` 4 and later run no code of a data
    set.

    Raises:
        InputError: the id is malformed, or the data set, its configuration or its split cannot be reached.
        MissingExtraError: `datasets` is not installed.
    """
    where = f"hf:{identifier}"
    parts = HUB_ID.fullmatch(identifier)
    if parts is None:
        raise InputError("is not OWNER/NAME[@REVISION][:[CONFIG:]SPLIT]", where=where, hint="Check the id")
    datasets = require("datasets", "hub")
    rows = _guarded(
        lambda: datasets.load_dataset(
            parts["name"], parts["config"], split=parts["split"], revision=parts["revision"], streaming=True
        ),
        where,
    )
    if isinstance(rows, dict):
        rows = _only_split(rows, where)

    def read() -> Iterator[tuple[int, Fields]]:
        iterator = _guarded(lambda: iter(rows), where)
        number = 0
        while (row := _guarded(lambda: next(iterator, None), where)) is not None:
            number += 1
            yield number, row

    return read


def _only_split(splits: dict[str, Any], where: str) -> Any:
    if len(splits) == 1:
        return next(iter(splits.values()))
    if "train" in splits:
        return splits["train"]
    raise InputError(
        f"has the splits {', '.join(splits)}, and none was chosen", where=where, hint=f"Append one: {where}:SPLIT"
    )


def _guarded(step: Callable[[], Any], where: str) -> Any:
    try:
        return step()
    except SememeError:
        raise
    except Exception as error:  # the network, the hub and each file format raise errors of their own
        message = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"cannot be reached or read ({type(error).__name__}: {message})",
            where=where,
            hint="Check the id, the connection and your rights (hf auth login)",
        ) from error

"""Optional dependencies: import them when they are needed, or say how to install them."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from sememe.errors import MissingExtraError


def require(module: str, extra: str) -> Any:
    """Import `module`, which the extra `extra` installs.

    Raises:
        MissingExtraError: it is not installed; the hint is the install line.

    """
    try:
        imported: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A broken import inside an installed package is that package's fault, not a missing extra.
        if error.name is None or error.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtraError(
            f"this needs the package {module.split('.', maxsplit=1)[0]!r}, which is not installed",
            hint=f"Install it with: pip install 'sememe[{extra}]'",
        ) from None
    return imported

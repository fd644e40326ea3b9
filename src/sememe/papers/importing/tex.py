"""TeX in a bibliography as plain text; formulas stay as they are."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from sememe.corpus.entries import BadRecordError
from sememe.extras import require

MAX_TEX = 50_000
_PERCENT = re.compile(r"(?<!\\)%")
_ACCENT_OR_COMMAND = re.compile(r"[\\$~]|---?|``|''")


def plain_tex(text: str) -> str:
    r"""`text` with accents as characters (`Schr{\"o}dinger`), without braces and commands; `$\beta^3$` stays.

    Raises:
        BadRecordError: it is nested too deeply, or too long.

    """
    if not _ACCENT_OR_COMMAND.search(text):
        return text.replace("{", "").replace("}", "")
    if len(text) > MAX_TEX:
        raise BadRecordError(f"has a field with {len(text):,} characters of TeX; {MAX_TEX:,} are allowed")
    try:
        # A percent sign would begin a comment; in a bibliography nobody means that.
        plain = str(_converter().latex_to_text(_PERCENT.sub(r"\\%", text)))
    except RecursionError:
        raise BadRecordError("has TeX that is nested too deeply") from None
    return plain.replace("\u02c6", "^")  # what the converter makes of \textasciicircum


@cache
def _converter() -> Any:
    latex = require("pylatexenc.latex2text", "papers")
    return latex.LatexNodes2Text(math_mode="verbatim", keep_comments=True, strict_latex_spaces=False)

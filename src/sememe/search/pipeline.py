"""Search pipelines by name, as the evaluation and its table call them: a first stage or a mode, and feedback."""

from __future__ import annotations

from dataclasses import dataclass

from sememe.errors import InputError
from sememe.search.coarse.kinds import COARSE_HELP, CODES, WITHOUT_CODES, parse_coarse
from sememe.search.expansion import RM3
from sememe.search.feedback import Feedback
from sememe.search.request import MODES

FEEDBACK = ("average", "rocchio", "rm3")
PIPELINE_HELP = f"{', '.join(MODES)}, or a first stage ({COARSE_HELP}), with +average, +rocchio or (lexical) +rm3"


@dataclass(frozen=True)
class Pipeline:
    """What a name such as `hybrid`, `pq:48`, `dense+rocchio` or `lexical+rm3` stands for.

    Attributes:
        name: the name.
        mode: as in `Index.search`.
        coarse: the first stage; None for the index's own.
        feedback: as in `Index.search`.

    """

    name: str
    mode: str
    coarse: str | None = None
    feedback: Feedback | RM3 | None = None


def parse_pipeline(name: str) -> Pipeline:
    """Read the name of a pipeline.

    Raises:
        InputError: there is no such mode, first stage or feedback.

    """
    base, plus, method = name.partition("+")
    if plus and method not in FEEDBACK:
        raise InputError(f"there is no feedback {method!r}", where=name, hint=f"Choose from {', '.join(FEEDBACK)}")
    feedback = (RM3() if method == "rm3" else Feedback(method)) if plus else None
    if base in MODES:
        # `lexical` is a mode of its own here: the first stage of that name is `Index.using("lexical")`.
        return Pipeline(name, base, None, feedback)
    kind = base.partition(":")[0]
    if kind not in CODES and kind not in WITHOUT_CODES:
        raise InputError(f"there is no pipeline {name!r}", hint=f"Choose from {PIPELINE_HELP}")
    return Pipeline(name, "dense", str(parse_coarse(base)), feedback)

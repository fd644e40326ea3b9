"""Words that the built-in tasks are made of, and the choice of those that a tokenizer keeps whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.models import LanguageModel

_NAMES = """
    Mary John Anna Paul Laura Peter Sarah David Emma Mark Julia Tom Alice James Lisa Robert Helen Simon Kate
    Daniel Maria Martin Susan George Emily Henry Rachel Kevin Diana Frank Linda Jack Amy Brian Carol Steven Rose
    Adam Jane Michael Grace Andrew Sophie William Claire Eric Nancy Richard Karen Charles Ruth Thomas Victoria
    Edward Olivia Joseph Kelly Patrick Sandra Scott Jessica Matthew Jennifer Ryan Nicole Jason
"""
_PLACES = """
    market library station museum park hospital office school beach theater bakery hotel airport farm
"""
_OBJECTS = """
    book letter ticket map key coin cup photo bottle ring phone box flower guitar
"""
_EVENTS = """
    war siege trial drought strike reform project expedition famine treaty dynasty marriage friendship
    construction occupation rebellion partnership investigation tour campaign festival tournament recession
    experiment journey dispute alliance study voyage conflict program reign contract crisis restoration survey
    competition
"""
_NOUNS = """
    apple river stone candle window garden mountain paper silver bridge forest engine pencil basket mirror
    ladder carpet hammer blanket lemon tiger rabbit piano violin castle island desert harbor valley winter
    summer autumn doctor farmer soldier teacher sailor painter writer baker captain lawyer bread butter sugar
    pepper honey cheese coffee water fire smoke cloud storm thunder snow rain wind sand glass metal wood cotton
    leather wheel wagon train horse sheep camel eagle snake whale shark spider turtle monkey button pocket
    jacket helmet sword shield arrow cannon rocket planet moon star comet ocean lake pond field meadow orchard
    village city tower temple
"""
_IDENTIFIERS = """
    data name file value result line user key path text node item index count size width height color title date
    time start end limit offset source target parent child level state status message event image table column
    row field group order code number port host address path token label score rate weight shape scale mode
    format version model config options default cache buffer queue stack list array string object
"""

NAMES = tuple(_NAMES.split())
PLACES = tuple(_PLACES.split())
OBJECTS = tuple(_OBJECTS.split())
EVENTS = tuple(_EVENTS.split())
NOUNS = tuple(_NOUNS.split())
IDENTIFIERS = tuple(_IDENTIFIERS.split())


def whole_words(lm: LanguageModel, words: Sequence[str], at_least: int) -> list[str]:
    """Those of `words` that are one token after a space, each once, in order.

    Raises:
        InputError: fewer than `at_least` are.

    """
    before = len(lm.tokenize("the").ids)
    kept = [word for word in dict.fromkeys(words) if len(lm.tokenize(f"the {word}").ids) == before + 1]
    if len(kept) < at_least:
        raise InputError(
            f"only {len(kept)} of {len(set(words))} words such as {words[0]!r} are one token, {at_least} are needed",
            where=lm.name,
            hint="Give prompts of your own with --task FILE",
        )
    return kept

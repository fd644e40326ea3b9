"""Coarse parts of speech of English words: spaCy's when it is there, otherwise short word lists and endings.

The word perturbations (`sememe.probes.perturb`) need to know which words are nouns and adjectives. The method's
authors take spaCy's `en_core_web_sm`, which is not on the Python index. The fallback takes every word that no list and
no ending knows for a noun; docs/probes.md says how often the two agree on captions. It is for English only.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Literal

from sememe.errors import InputError, MissingExtraError

Tag = Literal["NOUN", "ADJ", "VERB", "ADV", "OTHER"]
Tagger = Callable[[Sequence[str]], list[Tag]]
MODEL = "en_core_web_sm"
TAGGERS = ("auto", "spacy", "lexicon")
_TOKEN = re.compile(r"\w+(?:['’\-]\w+)*|[^\w\s]")
_PENN: dict[str, Tag] = {"NN": "NOUN", "JJ": "ADJ", "VB": "VERB", "RB": "ADV"}


def words_of(text: str) -> list[str]:
    """The tokens of a text: words with their inner hyphens and apostrophes, and single marks."""
    return _TOKEN.findall(text)


def load_tagger(name: str = "auto") -> tuple[str, Tagger]:
    """A tagger of tokens, and its name.

    Args:
        name: `spacy`, `lexicon`, or `auto`: spaCy where it and its small English model are installed.

    Raises:
        InputError: there is no such tagger.
        MissingExtraError: spaCy or its model is asked for and not installed.
    """
    if name not in TAGGERS:
        raise InputError(f"there is no tagger {name!r}", hint=f"Use {', '.join(TAGGERS)}")
    here = all(importlib.util.find_spec(package) is not None for package in ("spacy", MODEL))
    if name == "spacy" and not here:
        raise MissingExtraError(
            f"spaCy or its model {MODEL} is not installed",
            hint=f"pip install spacy, then python -m spacy download {MODEL}; or use the lexicon",
        )
    return ("spacy", _spacy()) if here and name != "lexicon" else ("lexicon", tag_by_lexicon)


def tag_by_lexicon(words: Sequence[str]) -> list[Tag]:
    """Tags from word lists, endings and the word before."""
    tags: list[Tag] = []
    for place, word in enumerate(words):
        before = words[place - 1].lower() if place else ""
        tags.append(_tag(word.lower(), before, tags[-1] if tags else "OTHER"))
    return tags


def _tag(word: str, before: str, tag_before: Tag) -> Tag:
    known = _words()
    if not word[0].isalpha() or word in known["closed"]:
        return "OTHER"
    expects_noun = before in known["before nouns"] or tag_before == "ADJ"
    if _is_adjective(word):
        return "ADJ"
    if word in known["adverbs"] or (word.endswith("ly") and len(word) > 4):
        return "ADV"
    if word.endswith("ed") and len(word) > 4:
        return "ADJ" if before in known["before nouns"] else "VERB"
    if word.endswith("ing") and len(word) > 4:
        return "NOUN" if expects_noun else "VERB"
    return "VERB" if not expects_noun and _is_verb(word) else "NOUN"


def _is_adjective(word: str) -> bool:
    """Whether it is one of the list, a comparative of one, or has an ending of adjectives."""
    stems = [word]
    if word.endswith(("er", "est")):
        stem = word.removesuffix("er").removesuffix("est")
        stems += [stem, stem + "e", stem[:-1], stem[:-1] + "y"]
    known = _words()
    ends = len(word) > 4 and word.endswith(tuple(known["adjective endings"])) and word not in known["not adjectives"]
    return ends or any(stem in known["adjectives"] for stem in stems)


def _is_verb(word: str) -> bool:
    """Whether it is a verb of the list, or a third person of one."""
    stems = [word]
    if word.endswith("s"):
        stems += [word[:-1], word[:-2], word[:-3] + "y" if word.endswith("ies") else word]
    return any(stem in _words()["verbs"] for stem in stems)


@functools.cache
def _words() -> dict[str, frozenset[str]]:
    """The word lists by section of `english_words.txt`."""
    text = (resources.files("sememe.probes") / "english_words.txt").read_text("utf-8")
    sections = re.findall(r"^\[(.+)\]$([^\[]*)", text, re.MULTILINE)
    return {name: frozenset(words.split()) for name, words in sections}


def _spacy() -> Tagger:
    spacy: Any = importlib.import_module("spacy")
    pipeline = spacy.load(MODEL, disable=["parser", "ner", "lemmatizer"])

    def tag(words: Sequence[str]) -> list[Tag]:
        document = pipeline(spacy.tokens.Doc(pipeline.vocab, words=list(words)))
        return [_PENN.get(token.tag_[:2], "OTHER") for token in document]

    return tag

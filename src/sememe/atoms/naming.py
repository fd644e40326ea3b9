"""Names for atoms from a language model or any other function that reads a prompt and answers with a phrase.

A name is only asked for; nothing here says that it is right. `sememe.atoms.detection` measures how well it predicts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sememe.errors import InputError
from sememe.models import LanguageModel
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.atoms.contexts import Context, Contexts

Namer = Callable[[str], str]
"""From a prompt to an answer, whose first line is taken."""

LONGEST = 60  # characters of a name
MOST_WORDS = 8
N_CONTEXTS = 8
_BEFORE, _AFTER = 16, 6  # tokens around the peak that a prompt shows
_NEW_TOKENS = 24
_AROUND = " \t-*"  # of lists and bold text
_LEAD = re.compile(r"^(?:answer|label|name|phrase|description)\s*:\s*", re.IGNORECASE)
_EXAMPLES = ("names of capital cities", 'the word "seldom"')
_PROMPT = """\
In each group of excerpts one part is marked <<like this>>. Say in a few words what the marked parts have in common.

Excerpts:
- the train left <<London>> at noon
- she moved to <<Paris>> in May
- a map of <<Rome>> on the wall
Phrase: names of capital cities

Excerpts:
- she <<seldom>> came to the lake
- it is <<seldom>> cold here
- they <<Seldom>> agree
Phrase: the word "seldom"

Excerpts:
{excerpts}
Phrase:"""


@dataclass(frozen=True)
class Names:
    """Answers of a namer.

    Attributes:
        names: the name by atom, for the atoms that were named.
        failed: for every other atom that was asked about, why it has none.
    """

    names: dict[int, str]
    failed: dict[int, str]

    def over(self, labels: Sequence[str]) -> list[str]:
        """Labels with the names in the place of those of named atoms; `failed` says which ones stayed and why."""
        return [self.names.get(atom, label) for atom, label in enumerate(labels)]


def name_atoms(contexts: Contexts, namer: Namer | LanguageModel, atoms: Sequence[int] | None = None) -> Names:
    """Ask for a short name for each atom, from its strongest contexts.

    Args:
        contexts: of all atoms.
        namer: a function from a prompt to an answer; or a language model, which continues the prompt. What the
            function raises is not caught.
        atoms: which atoms to name; by default all.

    Raises:
        InputError: there is no such atom, or an answer is no text.
    """
    n_atoms = len(contexts.tokens)
    wanted = list(range(n_atoms)) if atoms is None else [int(atom) for atom in atoms]
    outside = [atom for atom in wanted if not 0 <= atom < n_atoms]
    if outside:
        raise InputError(f"there is no atom {outside[0]}: the dictionary has atoms 0 to {n_atoms - 1}")
    ask = model_namer(namer) if isinstance(namer, LanguageModel) else namer
    names: dict[int, str] = {}
    failed: dict[int, str] = {}
    with progress("Naming atoms", len(wanted), unit="atoms") as bar:
        for atom in wanted:
            found = contexts.of(atom)
            name, problem = _asked(ask, found, atom) if found else ("", "it is not active in any context")
            if problem:
                failed[atom] = problem
            else:
                names[atom] = name
            bar.advance()
    return Names(names, failed)


def model_namer(lm: LanguageModel) -> Namer:
    """A namer that lets a language model continue the prompt, taking the likeliest token each time."""
    return lambda prompt: lm.generate(prompt, _NEW_TOKENS)


def prompt_for(contexts: Sequence[Context]) -> str:
    """The prompt for an atom: two solved examples, then its strongest contexts with the peak marked."""
    return _PROMPT.format(excerpts="\n".join(f"- {_excerpt(context)}" for context in contexts[:N_CONTEXTS]))


def clean_name(answer: str) -> tuple[str, str]:
    """A name from the first line of an answer, and what is wrong with it, "" for nothing."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if not lines:
        return "", "the answer was empty"
    answered = _LEAD.sub("", lines[0].strip(_AROUND)).strip(_AROUND)
    name = " ".join(_unquoted(answered.rstrip(".")).split())
    if not any(character.isalnum() for character in name):
        return "", f"the answer has no words: {lines[0][:LONGEST]!r}"
    if name.lower().startswith(_EXAMPLES):
        return "", f"the answer repeats an example of the prompt: {name[:LONGEST]!r}"
    if "<<" in name or ">>" in name:
        return "", f"the answer repeats an excerpt: {name[:LONGEST]!r}"
    if len(name) > LONGEST or len(name.split()) > MOST_WORDS:
        return "", f"the answer was too long: {name[:LONGEST]!r}"
    return name, ""


def _asked(ask: Namer, contexts: Sequence[Context], atom: int) -> tuple[str, str]:
    answer = ask(prompt_for(contexts))
    if not isinstance(answer, str):
        raise InputError(f"the namer gave {type(answer).__name__}, not text", where=f"atom {atom}")
    return clean_name(answer)


def _excerpt(context: Context) -> str:
    """The text around a peak on one line, the peak's token marked, the spaces before it outside of the marks."""
    first, peak = max(0, context.peak - _BEFORE), context.pieces[context.peak]
    word = peak.lstrip(" ") or peak
    before = "".join(context.pieces[first : context.peak]) + peak[: len(peak) - len(word)]
    after = "".join(context.pieces[context.peak + 1 : context.peak + 1 + _AFTER])
    return " ".join(f"{before}<<{_one_line(word)}>>{after}".split())


def _one_line(piece: str) -> str:
    """A token that is a line break, or holds one, still shows what it is."""
    return piece.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def _unquoted(name: str) -> str:
    """Without quotes that stand around the whole name."""
    pairs = ('""', "''", "“”", "‘’", "``")
    while len(name) > 1 and any(name[0] == pair[0] and name[-1] == pair[1] for pair in pairs):
        inner = name[1:-1]
        if name[0] in inner:
            break
        name = inner.strip()
    return name

"""Steering: add, scale or remove atoms in what passes a site, while a language model reads or writes.

At every token, with x what passes the site, a_j(x) the activation of atom j and d_j its direction of unit length:

| change | what passes instead | amounts |
| --- | --- | --- |
| add s | x + s d_j | s is a length in the units of the site, those of activations: `atoms.transform` gives them |
| scale by f | x + (f - 1) a_j(x) d_j | f has no unit; tokens on which the atom is not active stay as they are |
| remove | x - a_j(x) d_j | scale by 0 |

All a_j are those of the x that came, so the order of changes is of no matter; removing an atom and adding s to it sets
it to s everywhere. Only these differences are added: what the dictionary does not reconstruct passes untouched. Because
other atoms have cosines with d_j, the activations of what passes need not be exactly those that were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sememe.atoms.patching import Tensors, patched, site_in, skips_first_token
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.atoms.atoms import Atoms
    from sememe.models import LanguageModel

N_TOKENS = 5


class TokenChange(NamedTuple):
    """The probability of one next token under both models."""

    token: str
    plain: float
    steered: float


class AtomChange(NamedTuple):
    """What was done to an atom, and how large its activations are: what an amount can be compared with.

    Attributes:
        atom: its number.
        label: its label, or nothing.
        add: the amount added at every token.
        factor: by what its activation was multiplied, 1 for nothing.
        on_prompt: its largest activation on the prompt's tokens, 0 where it is not active.
        threshold: the least activation that it can have.
    """

    atom: int
    label: str
    add: float
    factor: float
    on_prompt: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Steered:
    """A prompt continued by the model as it is (`before`) and by the steered model (`after`).

    Attributes:
        prompt: the text so far.
        before, after: the two continuations.
        site: where the atoms were changed.
        atoms: what was done to each atom.
        site_norm: the median length of what passes the site on the prompt, to compare amounts with.
        before_plain, before_steered: the mean log-probability, in nats per token, of the continuation `before` under
            the model as it is and under the steered one; NaN when the continuation is empty.
        after_plain, after_steered: the same for the continuation `after`.
        kl: sum_t p(t) log(p(t) / p'(t)) in nats, with p and p' the next-token probabilities at the prompt's end of the
            model as it is and of the steered one.
        gained, lost: the next tokens at the prompt's end whose probability rose and fell most, the largest first.
    """

    prompt: str
    before: str
    after: str
    site: str
    atoms: list[AtomChange]
    site_norm: float
    before_plain: float
    before_steered: float
    after_plain: float
    after_steered: float
    kl: float
    gained: list[TokenChange]
    lost: list[TokenChange]

    def as_dict(self) -> dict[str, Any]:
        """All of it for JSON: what is not a number is None."""
        found: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, list):
                value = [item._asdict() for item in value]
            found[name] = None if isinstance(value, float) and math.isnan(value) else value
        return found


def steering(
    lm: LanguageModel,
    atoms: Atoms,
    *,
    add: Mapping[int, float] | None = None,
    scale: Mapping[int, float] | None = None,
    remove: Sequence[int] = (),
    site: str | None = None,
    skip_first_token: bool | None = None,
    any_model: bool = False,
) -> AbstractContextManager[None]:
    """While it is open, change atoms in everything that this model computes in this thread; see the module.

    Batches, generation with a cache, and any dtype and device work as without it; differences are computed in float32.

    Args:
        lm: the model.
        atoms: the dictionary.
        add: amounts by atom.
        scale: factors by atom.
        remove: atoms.
        site: where; by default the site that the atoms were learned at.
        skip_first_token: leave the first token of every text as it is. Its vector can be a hundred times longer than
            others and serves attention as a resting place. By default it is left alone when the atoms were learned
            without first tokens, for then their activations there mean nothing.
        any_model: accept a model with another fingerprint than the one that the atoms were learned from.

    Raises:
        InputError: there is no such atom, an amount is not a number, an atom is both scaled and removed, there is
            nothing to change, or the atoms do not fit the model.
    """
    changes = _changes(atoms, add or {}, scale or {}, remove)
    place = site_in(lm, atoms, site, any_model=any_model)
    return _steering(lm, atoms, place, changes, skips_first_token(atoms, skip_first_token))


def steer_text(
    lm: LanguageModel,
    atoms: Atoms,
    prompt: str,
    *,
    add: Mapping[int, float] | None = None,
    scale: Mapping[int, float] | None = None,
    remove: Sequence[int] = (),
    site: str | None = None,
    skip_first_token: bool | None = None,
    any_model: bool = False,
    max_new_tokens: int = 40,
    temperature: float = 0.0,
    random_state: int = 0,
) -> Steered:
    """Continue a prompt without and with changed atoms, and measure what the change did.

    Args:
        lm: the model.
        atoms: the dictionary.
        prompt: the text so far.
        add: amounts by atom; see `steering` for this and the next five.
        scale: factors by atom.
        remove: atoms.
        site: where.
        skip_first_token: leave the first token as it is.
        any_model: accept another model.
        max_new_tokens: how much to write at most.
        temperature: 0 takes the likeliest token each time.
        random_state: the seed of the drawing, the same for both texts.

    Raises:
        InputError: see `steering` and `LanguageModel.generate`.
    """
    if max_new_tokens < 1 or not 0 <= temperature < math.inf:
        raise InputError(
            f"cannot write {max_new_tokens} tokens at temperature {temperature}",
            hint="Give 1 token or more, and a temperature of 0 or more",
        )
    changes = _changes(atoms, add or {}, scale or {}, remove)
    place = site_in(lm, atoms, site, any_model=any_model)
    skip = skips_first_token(atoms, skip_first_token)
    options: dict[str, Any] = {"temperature": temperature, "random_state": random_state}
    before = lm.generate(prompt, max_new_tokens, **options)
    plain = _next_log_probabilities(lm, prompt)
    with _steering(lm, atoms, place, changes, skip):
        after = lm.generate(prompt, max_new_tokens, **options)
        steered = _next_log_probabilities(lm, prompt)
        under_steered = [_mean_log_probability(lm, prompt, text) for text in (before, after)]
    under_plain = [_mean_log_probability(lm, prompt, text) for text in (before, after)]
    states = next(iter(lm.activations(prompt, place)))[place][int(skip) :]
    gained, lost = _token_changes(lm, np.exp(plain), np.exp(steered))
    return Steered(
        prompt=prompt,
        before=before,
        after=after,
        site=place,
        atoms=_described(atoms, changes, states),
        site_norm=float(np.median(np.linalg.norm(states, axis=1))) if len(states) else 0.0,
        before_plain=under_plain[0],
        before_steered=under_steered[0],
        after_plain=under_plain[1],
        after_steered=under_steered[1],
        kl=max(0.0, float(np.exp(plain) @ (plain - steered))),
        gained=gained,
        lost=lost,
    )


class _Changes(NamedTuple):
    """Atoms (m,), ascending, with the amount added to each and the factor on its activation (m,)."""

    atoms: np.ndarray
    amounts: np.ndarray
    factors: np.ndarray


def _changes(atoms: Atoms, add: Mapping[int, float], scale: Mapping[int, float], remove: Sequence[int]) -> _Changes:
    if not (add or scale or remove):
        raise InputError("nothing to change", hint="Add, scale or remove an atom")
    named = [*add, *scale, *remove]
    for atom in named:
        if not isinstance(atom, int | np.integer) or isinstance(atom, bool) or not 0 <= atom < atoms.n_atoms:
            raise InputError(f"there is no atom {atom}: the dictionary has atoms 0 to {atoms.n_atoms - 1}")
    for atom, number in [*add.items(), *scale.items()]:
        if not isinstance(number, int | float | np.integer | np.floating) or not math.isfinite(number):
            raise InputError(f"{number!r} is no amount", where=f"atom {atom}", hint="Give a finite number")
    both = sorted(set(scale) & set(remove))
    if both:
        raise InputError(f"atom {both[0]} is both scaled and removed", hint="Do one of them; removing is scaling by 0")
    numbers = sorted({int(atom) for atom in named})
    factors = {**scale, **dict.fromkeys(remove, 0.0)}
    return _Changes(
        np.array(numbers, np.int64),
        np.array([add.get(atom, 0.0) for atom in numbers], np.float64),
        np.array([factors.get(atom, 1.0) for atom in numbers], np.float64),
    )


@contextmanager
def _steering(lm: LanguageModel, atoms: Atoms, site: str, changes: _Changes, skip_first_token: bool) -> Iterator[None]:
    """Patch the site, unless every change is by nothing: then nothing is touched."""
    scaled = changes.factors != 1
    if not scaled.any() and not changes.amounts.any():
        yield
        return
    device = lm.model.device
    added = changes.amounts @ atoms.decoder[changes.atoms].astype(np.float64)
    tensors = Tensors(atoms.weights, device, changes.atoms[scaled]) if scaled.any() else None
    shift, by = _tensor(added, device), _tensor(changes.factors[scaled] - 1, device)

    def change(states: Any) -> Any:
        difference = shift if tensors is None else shift + (tensors.activations(states) * by) @ tensors.decoder
        return (states.float() + difference).to(states.dtype)

    with patched(lm, site, change, skip_first_token=skip_first_token):
        yield


def _tensor(array: np.ndarray, device: Any) -> Any:
    import torch

    return torch.tensor(array, dtype=torch.float32, device=device)


def _described(atoms: Atoms, changes: _Changes, states: np.ndarray) -> list[AtomChange]:
    largest = np.zeros(atoms.n_atoms, np.float32)
    if len(states):
        largest = atoms.transform(states).max(axis=0).toarray()[0]
    return [
        AtomChange(
            int(atom),
            atoms.labels[atom],
            float(amount),
            float(factor),
            float(largest[atom]),
            float(atoms.weights.thresholds[atom]),
        )
        for atom, amount, factor in zip(*changes, strict=True)
    ]


def _next_log_probabilities(lm: LanguageModel, prompt: str) -> np.ndarray:
    """(vocabulary,), float64."""
    logits = lm.next_logits(prompt)[0].astype(np.float64)
    log_probabilities: np.ndarray = logits - np.logaddexp.reduce(logits)
    return log_probabilities


def _mean_log_probability(lm: LanguageModel, prompt: str, text: str) -> float:
    """Nats per token of `text` after the prompt; NaN when it has no tokens.

    The two are cut into tokens as one text, so one token may begin in the prompt: it counts.
    """
    tokens = lm.tokenize(prompt + text)
    of_text = np.array([end > len(prompt) for _, end in tokens.spans], bool)[1 : lm.max_tokens]
    if not of_text.any():
        return math.nan
    losses = next(iter(lm.losses([tokens.ids])))
    return -float(losses[of_text].mean(dtype=np.float64))


def _token_changes(
    lm: LanguageModel, plain: np.ndarray, steered: np.ndarray
) -> tuple[list[TokenChange], list[TokenChange]]:
    """The tokens whose probability (vocabulary,) rose, and those whose probability fell most."""
    rise = steered - plain
    order = np.argsort(-rise, kind="stable")

    def listed(ids: np.ndarray, sign: int) -> list[TokenChange]:
        return [
            TokenChange(lm.tokenizer.decode([int(token)]), float(plain[token]), float(steered[token]))
            for token in ids
            if sign * rise[token] > 0
        ]

    return listed(order[:N_TOKENS], 1), listed(order[::-1][:N_TOKENS], -1)

"""Changing an interest: more papers, authors, keywords and weights of atoms, or fewer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.papers.interests import Interest
    from sememe.papers.store import PaperStore


@dataclass(frozen=True)
class Edit:
    """What is to be changed of an interest.

    Attributes:
        like: papers to show more of.
        unlike: papers to show less of.
        pin: authors whose papers come first.
        require: keywords of which a paper must have one.
        forbid: keywords that a paper must not have.
        weights: by atom, the weight that it is to have.
        learned: atoms that are to have their learned weight again.
        drop: papers, authors and keywords to take out.

    """

    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    pin: Sequence[str] = ()
    require: Sequence[str] = ()
    forbid: Sequence[str] = ()
    weights: Mapping[int, float] = field(default_factory=dict)
    learned: Sequence[int] = ()
    drop: Sequence[str] = ()


def edit_interest(store: PaperStore, name: str, edit: Edit) -> Interest:
    """Change an interest and keep it; nothing is written when nothing changes.

    Raises:
        InputError: a paper is unknown, or liked and disliked at once, or what is to be taken out is not there.

    """
    old = store.interest(name)
    like, unlike = _ids(store, edit.like), _ids(store, edit.unlike)
    new = replace(
        old,
        liked=_joined(old.liked, like, without=unlike),
        disliked=_joined(old.disliked, unlike, without=like),
        authors=_joined(old.authors, edit.pin),
        require=_joined(old.require, edit.require),
        forbid=_joined(old.forbid, edit.forbid),
        atom_weights={
            atom: weight for atom, weight in {**old.atom_weights, **edit.weights}.items() if atom not in edit.learned
        },
    )
    if set(like) & set(unlike):
        raise InputError(f"both likes and dislikes {like[0]}", where=f"interest {name}")
    for what in edit.drop:
        new = _without(store, new, what)
    if new != old:
        store.save_interest(new)
    return new


def _without(store: PaperStore, interest: Interest, what: str) -> Interest:
    names = {what, store.find(what) or what}
    kept = replace(
        interest,
        liked=_joined(interest.liked, without=names),
        disliked=_joined(interest.disliked, without=names),
        authors=_joined(interest.authors, without=names),
        require=_joined(interest.require, without=names),
        forbid=_joined(interest.forbid, without=names),
    )
    if kept == interest:
        raise InputError(f"does not have {what[:80]!r}", where=f"interest {interest.name}")
    return kept


def _ids(store: PaperStore, names: Sequence[str]) -> list[str]:
    return [paper.id for paper in store.papers(names)]


def _joined(old: Sequence[str], more: Iterable[str] = (), *, without: Iterable[str] = ()) -> tuple[str, ...]:
    left_out = set(without)
    return tuple(one for one in dict.fromkeys([*old, *more]) if one not in left_out)

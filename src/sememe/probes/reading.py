"""Representations of texts: of an encoder, of sites of a language model, or from a bank that holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sememe.errors import InputError
from sememe.journal import JOURNAL

Tokens = Literal["mean", "last"]
POOLED = "pooled"
_NAMED = 3


@dataclass(frozen=True, eq=False)
class Representation:
    """Vectors of texts.

    Attributes:
        model: its name.
        site: where in the model.
        X: (n, d), float32, in the order of the texts.
    """

    model: str
    site: str
    X: np.ndarray


def represent(
    source: str,
    ids: Sequence[str],
    texts: Sequence[str],
    sites: str | None = None,
    *,
    tokens: Tokens = "mean",
    max_tokens: int | None = None,
    device: str | None = None,
) -> list[Representation]:
    """Vectors of texts, one representation a site.

    Args:
        source: an encoder; a language model, when sites are given; or the folder of a bank, whose rows are found by
            document id and averaged over each document.
        ids: of the texts.
        texts: the texts.
        sites: names or patterns, separated by commas, of sites of a language model.
        tokens: `mean` over a text's tokens but the first, or its `last` one; of language models.
        max_tokens: longer texts are cut; of language models.
        device: a torch device.

    Raises:
        InputError: a bank lacks a document, a text has no tokens, a site is unknown, or a vector is not finite.
        ModelError: there is no such model.
    """
    if (Path(source) / JOURNAL).is_file():
        found = [_from_bank(Path(source), ids)]
    elif sites is None or sites == POOLED:
        found = [_from_encoder(source, texts, device)]
    else:
        found = _from_language_model(
            source, texts, sites.split(","), tokens=tokens, max_tokens=max_tokens, device=device
        )
    for representation in found:
        bad = np.flatnonzero(~np.isfinite(representation.X).all(axis=1))
        if len(bad):
            raise InputError("its vector is not finite", where=f"{representation.site}, text {ids[bad[0]]!r}")
    return found


def encoder_of(
    source: str, site: str | None = None, *, tokens: Tokens = "mean", device: str | None = None
) -> Callable[[list[str]], np.ndarray]:
    """A function from texts to vectors (n, d): an encoder, or one site of a language model.

    Raises:
        InputError: the source is a bank, which encodes nothing; or, when it is called, several sites were named.
        ModelError: there is no such model.
    """
    if (Path(source) / JOURNAL).is_file():
        raise InputError("is a bank, which cannot encode other texts", where=source, hint="Name the model")

    def encode(texts: list[str]) -> np.ndarray:
        found = represent(source, [str(row) for row in range(len(texts))], texts, site, tokens=tokens, device=device)
        if len(found) > 1:
            raise InputError(f"{len(found)} sites", where="--site", hint="Name one")
        return found[0].X

    return encode


def _from_encoder(name: str, texts: Sequence[str], device: str | None) -> Representation:
    from sememe.models import Encoder
    from sememe.models.catalogue import kind_of

    if kind_of(name) == "language model":
        hint = "Name sites with --site, such as 'layers.*.residual'"
        raise InputError(f"{name} is a language model, which has many representations", where=name, hint=hint)
    encoder = Encoder.load(name, device=device)
    return Representation(encoder.name, POOLED, encoder.encode_document(list(texts), show_progress_bar=True))


def _from_language_model(
    name: str, texts: Sequence[str], sites: Sequence[str], *, tokens: Tokens, max_tokens: int | None, device: str | None
) -> list[Representation]:
    from sememe.models import LanguageModel

    lm = LanguageModel.load(name, device=device)
    names = lm.expand_sites([site.strip() for site in sites])
    rows: dict[str, list[np.ndarray]] = {site: [] for site in names}
    for record in lm.activations(list(texts), names, max_tokens=max_tokens, show_progress_bar=True):
        for site in names:
            states = record[site]
            if not len(states):
                raise InputError("has no tokens", where=f"text {record.index + 1}", hint="Leave it out")
            rows[site].append(states[-1] if tokens == "last" else _mean(states))
    return [Representation(lm.name, site, np.stack(found)) for site, found in rows.items()]


def _mean(states: np.ndarray) -> np.ndarray:
    """The mean of a text's tokens without its first one, if there are others.

    Language models attend to the first token when nothing else fits, and its vector can be a hundred times longer than
    the others: in a mean it would say little but how many tokens the text has.
    """
    mean: np.ndarray = states[1:].mean(axis=0) if len(states) > 1 else states[0]
    return mean


def _from_bank(path: Path, ids: Sequence[str]) -> Representation:
    from sememe.bank import Bank

    with Bank.open(path) as bank:
        known = {name: place for place, name in enumerate(bank.document_ids)}
        if not known:
            hint = "An index keeps its documents elsewhere: name its encoder instead"
            raise InputError("holds no ids of documents", where=str(path), hint=hint)
        missing = [name for name in ids if name not in known]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(ids)} texts are not in the bank: {', '.join(missing[:_NAMED])}",
                where=str(path),
                hint="The table's ids must be the ids of the documents that the bank was harvested from",
            )
        documents = np.asarray(bank.documents)
        order = np.argsort(documents, kind="stable")
        ends = np.searchsorted(documents[order], np.arange(len(known) + 1))
        vectors = []
        for name in ids:
            rows = np.sort(order[ends[known[name]] : ends[known[name] + 1]])
            if not len(rows):
                raise InputError("has no rows in the bank", where=f"document {name!r}")
            vectors.append(bank[rows].mean(axis=0))
        model, site = (str(bank.provenance.get(key, "?")) for key in ("model", "site"))
    return Representation(model, site, np.stack(vectors))

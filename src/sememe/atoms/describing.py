"""Describing the atoms of a language model: contexts, labels, how well these predict, and effects on the output."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sememe.atoms.atoms import Atoms
from sememe.atoms.contexts import Contexts, collect_contexts
from sememe.atoms.detection import detection_scores
from sememe.atoms.logit_effects import LogitEffects, has_effects, logit_effects
from sememe.atoms.reading import Reading
from sememe.atoms.rows import held_out_rows
from sememe.atoms.token_labels import label_tokens
from sememe.errors import InputError
from sememe.progress import progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from sememe.bank import Bank
    from sememe.corpus import Document
    from sememe.models import LanguageModel

_BLOCK_ROWS = 8192


def describe(atoms: Atoms, bank: Bank, lm: LanguageModel, corpus: Iterable[Document]) -> Contexts:
    """Label atoms from the text that they were learned from, score the labels on the text that was held out.

    Sets `atoms.labels` and `atoms.detection`. The codes of the whole bank are held in memory.

    Args:
        atoms: learned from the bank.
        bank: one row a token.
        lm: the model that it was harvested from.
        corpus: the documents that it was harvested from.

    Returns:
        The contexts, with effects on the output where the site has direct ones.

    Raises:
        InputError: the atoms are of another bank, or the documents are others.
    """
    if atoms.card.get("source", {}).get("bank") != bank.fingerprint:
        raise InputError("the atoms were learned from another bank", where=str(bank.path))
    reading = Reading.of(bank, lm, corpus)
    codes = _codes(atoms, bank)
    decode = lm.tokenizer.decode
    parameters = atoms.card["parameters"]
    train, held_out = held_out_rows(bank, parameters["held_out"], parameters["random_state"])
    labels = label_tokens(codes[train], reading, train, decode)
    atoms.labels = labels.texts()
    atoms.detection = detection_scores(labels.fits(reading, held_out, decode), codes[held_out])
    contexts = collect_contexts(codes.tocsc(), reading, lm.tokenizer, _effects(atoms, lm))
    return replace(contexts, atoms=atoms.fingerprint)


def _effects(atoms: Atoms, lm: LanguageModel) -> LogitEffects | None:
    return logit_effects(lm, atoms) if has_effects(lm, atoms.card["source"]["site"]) else None


def _codes(atoms: Atoms, bank: Bank) -> csr_matrix:
    from scipy.sparse import vstack

    blocks = []
    with progress("Coding", len(bank), unit="vectors") as bar:
        for start in range(0, len(bank), _BLOCK_ROWS):
            block = bank[np.arange(start, min(start + _BLOCK_ROWS, len(bank)))]
            blocks.append(atoms.transform(block))
            bar.advance(len(block))
    return vstack(blocks, format="csr")

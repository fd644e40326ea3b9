"""Vectors of the texts that claims measure on: encoded once a machine, and shared by all claims."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sememe import disk
from sememe.bank import Bank
from sememe.claims.claim import Setting
from sememe.progress import progress

if TYPE_CHECKING:
    from sememe.models import Encoder

TEXTS_PER_COMMIT = 512


def encode_once(setting: Setting, encoder: Encoder, texts: Sequence[str], *, as_queries: bool = False) -> np.ndarray:
    """The vectors of texts, one each, from the cache if these texts were encoded before; shape (n, d), float32.

    A text is read as far as the encoder reads it and not cut into windows. What is kept is named by what it was
    made from, so other texts, another order or another encoder make another file, and a run that was killed goes
    on where it stopped.

    Args:
        setting: names the cache folder.
        encoder: what encodes.
        texts: the texts.
        as_queries: encode with `encode_query` instead of `encode_document`.

    """
    texts = list(texts)
    folder = setting.cache / "vectors" / _key(encoder, texts, as_queries)
    encode = encoder.encode_query if as_queries else encoder.encode_document
    disk.make_folder(folder.parent)
    if folder.exists():
        with Bank.open(folder) as made:  # without the writer's lock, so that several claims can read at once
            if len(made) == len(texts):
                return made[:]
    with _bank(folder, encoder) as bank, progress("Encoding", len(texts), unit="texts", done=len(bank)) as bar:
        while len(bank) < len(texts):
            chunk = texts[len(bank) : len(bank) + TEXTS_PER_COMMIT]
            bank.append(encode(chunk))
            bank.commit()
            bar.advance(len(chunk))
        return bank[:]


def _bank(folder: Path, encoder: Encoder) -> Bank:
    if folder.exists():
        return Bank.open(folder, writable=True)
    provenance = {"model": encoder.name, "model_fingerprint": encoder.fingerprint, "site": "pooled"}
    return Bank.create(folder, encoder.dimensions, provenance=provenance)


def _key(encoder: Encoder, texts: Sequence[str], as_queries: bool) -> str:
    digest = hashlib.sha256(f"{encoder.fingerprint}\n{as_queries}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    return digest.hexdigest()[:24]

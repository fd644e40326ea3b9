"""Token vectors of the texts that claims measure on: encoded once a machine, like `sememe.claims.vectors`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sememe import disk
from sememe.bank import Bank
from sememe.claims.claim import Setting
from sememe.progress import progress

if TYPE_CHECKING:
    from pathlib import Path

    from sememe.models.multi_vector import Kind, MultiVectorEncoder

TEXTS_PER_COMMIT = 256


def encode_tokens_once(setting: Setting, encoder: MultiVectorEncoder, texts: Sequence[str], kind: Kind) -> Bank:
    """The token vectors of texts as a bank, from the cache if these texts were encoded before.

    What is kept is named by what it was made from, and a run that was killed goes on where it stopped. Numbers are kept
    as float16: the scores of unit vectors change by less than 1e-3.

    Args:
        setting: names the cache folder.
        encoder: what encodes.
        texts: the texts; `bank.documents` holds their numbers.
        kind: `query` or `document`.

    """
    texts = list(texts)
    folder = setting.cache / "token_vectors" / _key(encoder, texts, kind)
    disk.make_folder(folder.parent)
    if folder.exists():
        made = Bank.open(folder)  # without the writer's lock, so that several claims can read at once
        if len(made) and int(made.documents[-1]) + 1 == len(texts):
            return made
        made.close()
    with _writable(folder, encoder) as bank, progress("Encoding tokens", len(texts), unit="texts") as bar:
        done = int(bank.documents[-1]) + 1 if len(bank) else 0
        for start in range(done, len(texts), TEXTS_PER_COMMIT):
            records = encoder.encode(texts[start : start + TEXTS_PER_COMMIT], kind)
            for number, record in enumerate(records, start=start):
                bank.append(record.vectors, documents=[number] * len(record.vectors))
            bank.commit()
            bar.advance(len(records))
    return Bank.open(folder)


def _writable(folder: Path, encoder: MultiVectorEncoder) -> Bank:
    if folder.exists():
        return Bank.open(folder, writable=True)
    provenance = {"model": encoder.name, "model_fingerprint": encoder.fingerprint, "site": "tokens"}
    return Bank.create(folder, encoder.dimensions, dtype="float16", provenance=provenance)


def _key(encoder: MultiVectorEncoder, texts: Sequence[str], kind: str) -> str:
    digest = hashlib.sha256(f"{encoder.fingerprint}\n{kind}\n".encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode(errors="surrogatepass")).digest())
    return digest.hexdigest()[:24]

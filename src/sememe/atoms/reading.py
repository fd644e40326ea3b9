"""The text behind a harvested bank: which token each of its rows is, and what stands around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe.bank import Bank
    from sememe.corpus import Document
    from sememe.models import LanguageModel

BEFORE, AFTER = 12, 2  # tokens around a row's own that make up its text


@dataclass(frozen=True, eq=False)
class Reading:
    """Documents as a model read them, one token after the other.

    Attributes:
        ids: token ids of all documents (n_tokens,), int32.
        spans: where each token stands in its document's text (n_tokens, 2), int32.
        starts: the first token of each document, and the end (n_documents + 1,).
        contents: the documents' texts.
        tokens: which token each row of the bank is (n_rows,).
        documents: the document of each row (n_rows,).
    """

    ids: np.ndarray
    spans: np.ndarray
    starts: np.ndarray
    contents: list[str]
    tokens: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(cls, bank: Bank, lm: LanguageModel, corpus: Iterable[Document]) -> Reading:
        """Read the documents again that a bank was harvested from.

        Args:
            bank: one row a token (`tokens="all"`).
            lm: the model; only its tokenizer is used.
            corpus: the documents, the same as then.

        Raises:
            InputError: the bank holds no single tokens, or the documents are others.
        """
        provenance = bank.provenance
        if provenance.get("tokens") != "all":
            raise InputError("the bank holds no vectors of single tokens", where=str(bank.path))
        limit = min(provenance.get("max_tokens") or lm.max_tokens, lm.max_tokens)
        ids, spans, starts, contents = [], [], [0], []
        expected = bank.document_ids
        for ordinal, document in enumerate(islice(corpus, len(expected))):
            if document.id != expected[ordinal]:
                raise InputError(
                    f"document {ordinal} of the corpus is {document.id!r}, that of the bank {expected[ordinal]!r}",
                    where=str(bank.path),
                    hint="Give the corpus that was harvested",
                )
            tokens = lm.tokenize(document.content)
            ids.append(np.asarray(tokens.ids[:limit], np.int32))
            spans.append(np.asarray(tokens.spans[:limit], np.int32).reshape(-1, 2))
            starts.append(starts[-1] + len(ids[-1]))
            contents.append(document.content)
        if len(contents) < len(expected):
            raise InputError(
                f"the corpus has {len(contents)} documents, the bank was made from {len(expected)}",
                where=str(bank.path),
                hint="Give the corpus that was harvested",
            )
        first = np.asarray(starts, np.int64)
        documents = np.asarray(bank.documents, np.int64)
        places = first[documents] + np.asarray(bank.positions, np.int64)
        if len(places) and (places >= first[documents + 1]).any():
            raise InputError("a text of the corpus has become shorter", where=str(bank.path))
        empty = np.empty(0, np.int32)
        return cls(
            np.concatenate([*ids, empty]),
            np.concatenate([*spans, empty.reshape(0, 2)]),
            first,
            contents,
            places,
            documents,
        )

    def around(self, row: int, before: int = BEFORE, after: int = AFTER) -> str:
        """The text from `before` tokens before a row's own to `after` tokens behind it, cut at the document's ends."""
        token, document = self.tokens[row], self.documents[row]
        first = max(token - before, self.starts[document])
        last = min(token + after, self.starts[document + 1] - 1)
        text: str = self.contents[document][self.spans[first, 0] : self.spans[last, 1]]
        return text

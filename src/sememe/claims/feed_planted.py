"""Made papers for the feed's claim: fields whose words are many, and vectors that know what the words mean."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from sememe.claims.feed_readers import Field, split_field
from sememe.lexical.bm25 import Lexical
from sememe.papers.features import Features, weighted_words

N_PAPERS, N_CATEGORIES, DIMENSIONS = 480, 8, 32
WORDS_OF_CATEGORY, WORDS_OF_PAPER, COMMON = 60, 6, 30
FIRST_DAY = datetime.date(2026, 1, 1)


def planted_field(random_state: int = 0) -> tuple[Field, list[str]]:
    """Papers of one category each, and their texts.

    A paper uses a few of its category's many words, so two papers of a category share few of them; its vector is the
    category's direction and noise.
    """
    rng = np.random.default_rng([random_state, 23])
    category = rng.integers(0, N_CATEGORIES, N_PAPERS)
    directions = rng.standard_normal((N_CATEGORIES, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    noise = rng.standard_normal((N_PAPERS, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    vectors = (directions[category] + 1.1 * noise).astype(np.float32)
    texts = [_text(rng, int(of_paper)) for of_paper in category]
    lexical = Lexical.fit(texts, "none")
    ids = [f"arxiv:2601.{number:05d}" for number in range(N_PAPERS)]
    vocabulary = sorted(lexical.words, key=lexical.words.__getitem__)
    features = Features(ids, vectors, weighted_words(lexical), vocabulary, "none")
    days = [(FIRST_DAY + datetime.timedelta(days=number // 4)).isoformat() for number in range(N_PAPERS)]
    return split_field(features, days, _names(category)), texts


def _text(rng: np.random.Generator, category: int) -> str:
    own = [f"field{_letters(category)}{_letters(n)}" for n in rng.integers(0, WORDS_OF_CATEGORY, WORDS_OF_PAPER)]
    common = [f"common{_letters(n)}" for n in rng.integers(0, COMMON, 10)]
    return " ".join([*own, *common])


def _letters(number: int) -> str:
    return chr(97 + int(number) // 26) + chr(97 + int(number) % 26)


def _names(category: np.ndarray) -> Sequence[Sequence[str]]:
    return [[f"made.{_letters(of_paper)}"] for of_paper in category]

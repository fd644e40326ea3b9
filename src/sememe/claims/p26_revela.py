"""Revela: a language model's loss alone teaches a retriever which texts belong together, where words mislead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sememe.claims.claim import Claim, Condition, Figures, Setting
from sememe.claims.planted_pairs import Variant, train_by_likelihood, train_pairs
from sememe.claims.wikitext import wikitext_paragraphs

if TYPE_CHECKING:
    from sememe.models.language import LanguageModel

JOINT, NORMALIZED, SHARED = "joint", "joint, V-normalised", "joint, one softmax"
DETACHED = "weights detached"
VARIANTS = {
    JOINT: Variant(),
    NORMALIZED: Variant(reading="v-normalized"),
    SHARED: Variant(reading="shared"),
    DETACHED: Variant(attached=False),
    "joint, temperature 1": Variant(temperature=1.0),
    "joint, temperature 0.01": Variant(temperature=0.01),
    "joint, temperature 0.0001": Variant(temperature=1e-4),
}
REPLUG = "REPLUG"
LANGUAGE_MODEL = "smollm2-135m"
DATA = "text-wikitext2"
ARTICLES, OF_ONE, TOKENS = 4, 2, 64
"""A batch of real text: articles, paragraphs of each, tokens of each paragraph."""
CHANCE = 1 / 7


@dataclass(frozen=True)
class _Size:
    steps: int
    variants: Sequence[str]
    batches: int = 0
    """Batches of real text whose gradients are read."""


SIZES = {
    "tiny": _Size(900, (JOINT, DETACHED)),
    "small": _Size(900, tuple(VARIANTS), batches=12),
    "full": _Size(900, tuple(VARIANTS), batches=100),
}


@dataclass(frozen=True)
class _Prepared:
    figures: Mapping[str, float]
    size: _Size


@contextmanager
def prepare(setting: Setting) -> Iterator[_Prepared]:
    """Read what a pretrained language model's gradients say of real paragraphs; that has no seed."""
    size, figures = SIZES[setting.scale], {}
    if size.batches:
        from sememe.models.language import LanguageModel

        batches = _paragraphs(setting, size.batches)
        figures = signal(LanguageModel.load(LANGUAGE_MODEL, device="cpu"), batches)
    yield _Prepared(figures, size)


def measure(prepared: _Prepared, seed: int) -> dict[str, float]:
    """Train a retriever on planted pairs in every way."""
    figures: dict[str, float] = {}
    for name in prepared.size.variants:
        found = train_pairs(VARIANTS[name], prepared.size.steps, seed)
        figures |= {f"{name}: {figure}": value for figure, value in found.items()}
    if prepared.size.batches:
        ranked = train_by_likelihood(prepared.size.steps, seed)
        figures |= {f"{REPLUG}: {figure}": value for figure, value in ranked.items()}
    return {**figures, **prepared.figures}


def signal(language: LanguageModel, batches: Sequence[Sequence[str]]) -> dict[str, float]:
    """Whether the loss would fall more by looking at the same article than at others, from uniform weights.

    Args:
        language: a pretrained language model.
        batches: the texts of each batch; neighbours in pairs are of one article.

    Returns:
        For each way to read: `AUC` of -dL/dw_ij, same article against others, the mean of batches, and `gap`,
        by how many nats reading in the others with uniform weights lowers the loss.

    """
    import torch

    from sememe.models.tokens import as_batch
    from sememe.objectives.in_batch_attention import READINGS, prepare_model, run_passes
    from sememe.objectives.revela import next_token_loss

    prepare_model(language.model)
    language.model.requires_grad_(False)
    figures: dict[str, float] = {}
    for title, reading in (("", "added"), (", V-normalised", "v-normalized"), (", one softmax", "shared")):
        areas, gaps = [], []
        for texts in batches:
            rows = [list(language.tokenize(text).ids)[:TOKENS] for text in texts]
            ids = torch.from_numpy(as_batch(rows, 0))
            mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
            weights = (torch.ones(len(rows), len(rows)) - torch.eye(len(rows))) / (len(rows) - 1)
            weights.requires_grad_()
            plain, read = run_passes(language.model, ids, mask, weights, READINGS[reading])
            loss = next_token_loss(read, ids, mask)
            loss.backward()
            assert weights.grad is not None
            areas.append(_same_article_auc(-weights.grad.numpy()))
            gaps.append(float(next_token_loss(plain, ids, mask) - loss.detach()))
        figures[f"{LANGUAGE_MODEL}{title}: AUC of the same article"] = float(np.mean(areas))
        figures[f"{LANGUAGE_MODEL}{title}: gap"] = float(np.mean(gaps))
    return figures


def _same_article_auc(values: np.ndarray) -> float:
    """How often a pair of one article has a higher value than a pair of two; ties count half."""
    numbers = np.arange(len(values))
    own = np.eye(len(values), dtype=bool)
    same = (numbers[:, None] // OF_ONE == numbers // OF_ONE) & ~own
    pairs, others = values[same], values[~same & ~own]
    differences = np.sign(pairs[:, None] - others[None, :])
    return float((differences.mean() + 1) / 2)


def _paragraphs(setting: Setting, n_batches: int) -> list[list[str]]:
    """Batches of two paragraphs each of four articles, drawn with a fixed seed."""
    by_article: dict[Any, list[str]] = {}
    for document in wikitext_paragraphs(setting.data(DATA), "test"):
        by_article.setdefault(document.metadata["article"], []).append(document.text)
    articles = [texts for texts in by_article.values() if len(texts) >= OF_ONE]
    rng, batches = np.random.default_rng(0), []
    for _ in range(n_batches):
        chosen = rng.choice(len(articles), ARTICLES, replace=False)
        batches.append(
            [
                articles[article][place]
                for article in chosen
                for place in rng.choice(len(articles[article]), OF_ONE, replace=False)
            ]
        )
    return batches


def _partner(figures: Figures, variant: str) -> Sequence[float]:
    return figures[f"{variant}: partner"]


def _learns(figures: Figures) -> bool:
    return min(_partner(figures, JOINT)) >= 0.95


def _needs_weights(figures: Figures) -> bool:
    return max(_partner(figures, DETACHED)) <= 0.25


def _reads(figures: Figures) -> bool:
    gaps = np.subtract(figures[f"{JOINT}: alone"], figures[f"{JOINT}: read"])
    return bool(np.all(gaps > 0.4))


def _normalized_learns(figures: Figures) -> bool:
    return f"{NORMALIZED}: partner" not in figures or float(np.mean(_partner(figures, NORMALIZED))) >= 0.6


CLAIM = Claim(
    id="p26_revela",
    title="Predicting the next token while looking at other texts teaches a retriever which texts belong together",
    paper="SmolLM2-135M beside LLaMA-3.2-1B, 320,000 batches: CoIR 48.4 (BM25 42.0), BEIR 33.3 (BM25 41.8); at 1B "
    "BEIR 42.7 and CoIR 58.6 against 42.4 and 52.1 for Contriever's training of the same backbone, Cai et al. (ICLR "
    "2026). Small models do not beat BM25 on BEIR, and the row printed there for Contriever itself is far below its "
    "own release",
    protocol="Planted documents of two chunks of 11 tokens that share three of 60 entities, while chunks of one style "
    "share more words: whoever compares words takes the wrong partner. A language model of one block that can copy "
    "(300 steps of warm-up) and a table of 32-dimensional word vectors are trained together for 900 steps of 8 chunks, "
    "AdamW 1e-2 (table) and 1e-3 (model), temperature 0.1. Small, beside: SmolLM2-135M as it is reads two paragraphs "
    "each of four articles of WikiText-2 with equal weights, in each way to read, and the gradients of its loss by the "
    "weights are compared between paragraphs of one article and of two (shown, no threshold). Real retrievers are "
    "trained in p26_revela_trained",
    baselines=(
        "`partner, untrained`: the retriever before",
        "`weights detached`: in-batch attention is on, but nothing of it reaches the retriever",
        f"`{SHARED}` (ours; shown, no threshold): own tokens and those of the others share one softmax",
        f"`{REPLUG}` (shown, no threshold): the same table learns to rank as the language model does, which is warmed "
        "up as long on chunks in front of others and then stays as it is; 56 passes of two chunks a batch",
        "chance: 1/7; comparing words: below chance, which `partner, untrained` shows",
    ),
    metric="partner: share of chunks whose nearest of the seven others in the batch is of the same document, over 60 "
    "batches never seen; alone, read: cross-entropy in nats of the plain pass and of the one that reads; AUC",
    threshold=(
        Condition("trained together, without V-normalisation, 0.95 or more of the partners at every seed", _learns),
        Condition("with detached weights 0.25 or fewer at every seed", _needs_weights),
        Condition("reading lowers the loss by more than 0.4 nats at every seed", _reads),
        Condition("with V-normalisation 0.6 or more in the mean (where it was run)", _normalized_learns),
    ),
    seeds={"tiny": (0,), "small": (0, 1, 2), "full": (0, 1, 2, 3, 4)},
    needs={"small": (DATA,), "full": (DATA,)},
    extras={"torch": "models", "transformers": "models"},
    prepare=prepare,
    measure=measure,
)

"""Documents of two chunks that only rare words link, and a language model that can copy: Revela's signal, alone.

A document is three entities and two chunks of different styles; a chunk is the marker of its style, the three entities
in any places and order, and seven words of the style. Two chunks of one style share more words than two of one
document, so whoever compares words takes the wrong partner. Only the language model can tell: the entities of the other
chunk are what helps to predict those of this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

N_STYLES, STYLE_WORDS, N_ENTITIES = 4, 5, 60
TOKENS, ENTITIES_OF_ONE = 10, 3  # after the marker
VOCABULARY = N_STYLES * (1 + STYLE_WORDS) + N_ENTITIES
WIDTH, HEADS = 64, 2
WARM_UP_STEPS, WARM_UP_CHUNKS = 300, 64
RETRIEVER_WIDTH, CHUNKS = 32, 8
RETRIEVER_RATE, MODEL_RATE, WARM_UP_RATE = 1e-2, 1e-3, 3e-3
ASKED_BATCHES = 60
LIKELIHOOD_TEMPERATURE = 0.05


@dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
        temperature: of the weights.
        reading: how the model reads in other chunks.
        attached: whether gradients reach the retriever through the weights; without it nothing teaches it.

    """

    temperature: float = 0.1
    reading: str = "added"
    attached: bool = True


def planted_batch(n_documents: int, rng: np.random.Generator) -> np.ndarray:
    """Chunks 2 i and 2 i + 1 are of one document; int64, shape (2 n_documents, 11)."""
    first_entity = N_STYLES * (1 + STYLE_WORDS)
    chunks = np.empty((2 * n_documents, 1 + TOKENS), np.int64)
    for document in range(n_documents):
        entities = first_entity + rng.choice(N_ENTITIES, ENTITIES_OF_ONE, replace=False)
        for half, style in enumerate(rng.choice(N_STYLES, 2, replace=False)):
            words = N_STYLES + style * STYLE_WORDS + rng.integers(STYLE_WORDS, size=TOKENS)
            words[rng.choice(TOKENS, ENTITIES_OF_ONE, replace=False)] = rng.permutation(entities)
            chunks[2 * document + half] = [style, *words]
    return chunks


def copying_model(seed: int) -> Any:
    """A Llama of one block whose values and output begin as (three times) the identity: what it attends to, it says.

    It stands for a model that was trained before, and can copy.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from sememe.objectives.in_batch_attention import prepare_model

    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=1,
            num_attention_heads=HEADS,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    )
    attention = model.model.layers[0].self_attn
    with torch.no_grad():
        model.model.embed_tokens.weight.normal_(std=0.3)
        attention.v_proj.weight.copy_(torch.eye(WIDTH))
        attention.o_proj.weight.copy_(3 * torch.eye(WIDTH))
    prepare_model(model)
    return model


def warm_up(model: Any, reading: str, seed: int) -> None:
    """Teach the model to use what it is shown."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=WARM_UP_RATE)
    for chunks, partners in _shown(seed):
        weights = torch.nn.functional.one_hot(torch.from_numpy(partners), len(chunks)).float()
        _, read = _losses(model, chunks, weights, reading)
        optimizer.zero_grad()
        read.backward()
        optimizer.step()


def train_pairs(variant: Variant, steps: int, seed: int) -> dict[str, float]:
    """Train a retriever and the model together, and ask the retriever for partners.

    Returns:
        `partner`: how often a chunk's nearest is its partner (chance: 1/7); `partner, untrained`: before; `alone` and
        `read`: the losses of the plain pass and of the one that reads, in nats, over the last tenth of the steps.

    """
    import torch

    model = copying_model(seed)
    warm_up(model, variant.reading, seed)
    torch.manual_seed(seed + 1000)
    table = torch.nn.Embedding(VOCABULARY, RETRIEVER_WIDTH)
    found = {"partner, untrained": partner_accuracy(table, seed)}
    optimizer = torch.optim.AdamW(
        [{"params": table.parameters(), "lr": RETRIEVER_RATE}, {"params": model.parameters(), "lr": MODEL_RATE}]
    )
    losses = []
    for chunks in _batches(steps, seed):
        weights = _weights(table, chunks, variant.temperature)
        alone, read = _losses(model, chunks, weights if variant.attached else weights.detach(), variant.reading)
        optimizer.zero_grad()
        read.backward()
        optimizer.step()
        losses.append((float(alone.detach()), float(read.detach())))
    last = np.mean(losses[-max(1, steps // 10) :], axis=0)
    return {**found, "partner": partner_accuracy(table, seed), "alone": float(last[0]), "read": float(last[1])}


def train_by_likelihood(steps: int, seed: int) -> dict[str, float]:
    """REPLUG: the same table learns to rank as a language model does that stays as it is.

    The model is warmed up on reading its partner, or any other chunk, in front of a chunk, as often as Revela's.

    Returns:
        `partner` as `train_pairs`; `language model`: how often the chunk that makes another likeliest is its partner.

    """
    import torch

    from sememe.objectives.in_batch_attention import similarity_weights
    from sememe.objectives.replug import divergence, pair_likelihoods

    def likelihoods(chunks: np.ndarray) -> Any:
        ids = torch.from_numpy(chunks)
        return pair_likelihoods(model, ids, torch.ones_like(ids, dtype=torch.bool))

    model = copying_model(seed)
    _warm_up_in_front(model, seed)
    torch.manual_seed(seed + 1000)
    table = torch.nn.Embedding(VOCABULARY, RETRIEVER_WIDTH)
    optimizer = torch.optim.AdamW(table.parameters(), lr=RETRIEVER_RATE)
    for chunks in _batches(steps, seed):
        wanted = similarity_weights(likelihoods(chunks), LIKELIHOOD_TEMPERATURE)
        loss = divergence(wanted, _similarities(table, chunks), Variant().temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rng = np.random.default_rng([seed, 3])
    likeliest = [
        likelihoods(planted_batch(CHUNKS // 2, rng)).fill_diagonal_(-np.inf).argmax(1).numpy()
        for _ in range(ASKED_BATCHES)
    ]
    right = np.stack(likeliest) == np.arange(CHUNKS) ^ 1
    return {"partner": partner_accuracy(table, seed), "language model": float(right.mean())}


def _warm_up_in_front(model: Any, seed: int) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=WARM_UP_RATE)
    for chunks, partners in _shown(seed):
        ids = torch.from_numpy(np.concatenate([chunks[partners], chunks], axis=1))
        n = chunks.shape[1]
        logits = model(input_ids=ids).logits[:, n - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, n:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _shown(seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches to warm up with, and what each chunk is shown: its partner, and in odd steps that or any other."""
    rng = np.random.default_rng([seed, 1])
    for step in range(WARM_UP_STEPS):
        chunks = planted_batch(WARM_UP_CHUNKS // 2, rng)
        partners = np.arange(len(chunks)) ^ 1
        if step % 2:
            others = (np.arange(len(chunks)) + rng.integers(1, len(chunks), size=len(chunks))) % len(chunks)
            partners = np.where(rng.random(len(chunks)) < 0.5, partners, others)
        yield chunks, partners


def partner_accuracy(table: Any, seed: int) -> float:
    """How often the nearest of the seven other chunks is the partner, over 60 batches that training never sees."""
    import torch

    rng, right = np.random.default_rng([seed, 3]), []
    with torch.no_grad():
        for _ in range(ASKED_BATCHES):
            similarities = _similarities(table, planted_batch(CHUNKS // 2, rng)).fill_diagonal_(-2)
            right.append((similarities.argmax(1).numpy() == np.arange(CHUNKS) ^ 1).mean())
    return float(np.mean(right))


def _batches(steps: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, 2])
    for _ in range(steps):
        yield planted_batch(CHUNKS // 2, rng)


def _similarities(table: Any, chunks: np.ndarray) -> Any:
    import torch

    means = torch.nn.functional.normalize(table(torch.from_numpy(chunks)).mean(dim=1), dim=1)
    return means @ means.T


def _weights(table: Any, chunks: np.ndarray, temperature: float) -> Any:
    from sememe.objectives.in_batch_attention import similarity_weights

    return similarity_weights(_similarities(table, chunks), temperature)


def _losses(model: Any, chunks: np.ndarray, weights: Any, reading: str) -> tuple[Any, Any]:
    """The losses of the plain pass and of the one that reads."""
    import torch

    from sememe.objectives.in_batch_attention import READINGS, run_passes
    from sememe.objectives.revela import next_token_loss

    ids = torch.from_numpy(chunks)
    mask = torch.ones_like(ids, dtype=torch.bool)
    plain, read = run_passes(model, ids, mask, weights, READINGS[reading])
    return next_token_loss(plain, ids, mask), next_token_loss(read, ids, mask)

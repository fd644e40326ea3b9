"""A corpus with something to learn, a small encoder, and runs that take a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sememe.corpus import Document
from sememe.models.multi_vector import MultiVectorEncoder
from sememe.models.multi_vector_folders import TokenLayout
from sememe.models.scratch import ScratchConfig, encoder_from_scratch
from sememe.models.trainable import EncoderChanges, TrainableEncoder, as_trainable
from sememe.models.trainable_tokens import TrainableTokens
from sememe.objectives.contriever import Contriever
from sememe.training.config import TrainingConfig
from sememe.training.loop import Trained, train

TOPICS, OWN, COMMON = 12, 6, 12


def documents(n: int = 60, words: int = 30, seed: int = 0) -> list[Document]:
    """Texts of a topic's own words among common ones."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n):
        topic = number % TOPICS
        own = [f"t{chr(97 + topic)}{chr(97 + int(i))}" for i in rng.integers(OWN, size=words // 2)]
        common = [f"c{chr(97 + int(i))}" for i in rng.integers(COMMON, size=words - words // 2)]
        mixed = rng.permutation(own + common).tolist()
        # A sentence end now and then, for questions and for the inverse cloze task.
        mixed[words // 3] += "."
        found.append(Document(f"d{number}", " ".join(mixed)))
    return found


def small_encoder(dropout: float = 0.1, seed: int = 0, layers: int = 1) -> TrainableEncoder:
    """One layer, 16 dimensions."""
    size = ScratchConfig(layers=layers, hidden=16, heads=2, vocabulary=200, positions=40, dropout=dropout, seed=seed)
    return as_trainable(encoder_from_scratch((each.content for each in documents()), size, device="cpu"))


def small_tokens(dropout: float = 0.0, **changes) -> TrainableTokens:
    """The token vectors of the small encoder."""
    own = small_encoder(dropout).encoder
    layout = TokenLayout(base=Path("small"), max_length=40)
    encoder = MultiVectorEncoder(own.model, own.tokenizer, name="small", fingerprint="small", layout=layout)
    return TrainableTokens(encoder, EncoderChanges(**changes))


def static_folder(folder: Path) -> Path:
    """A model of static vectors as sentence-transformers saves it."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    tokenizer = small_encoder().encoder.tokenizer.backend_tokenizer
    torch.manual_seed(0)
    module = StaticEmbedding(tokenizer, embedding_dim=16)
    SentenceTransformer(modules=[module], device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


def config(**options) -> TrainingConfig:
    return TrainingConfig(**{"steps": 6, "batch_size": 8, "learning_rate": 1e-3, **options})


def run(
    folder: Path,
    *,
    objective=None,
    encoder: TrainableEncoder | None = None,
    work: Path | None = None,
    check=None,
    seconds: float = 0.0,
    **options,
) -> tuple[dict[str, np.ndarray], Trained]:
    """Train a small encoder; its weights, and what training says."""
    encoder = encoder or small_encoder()
    objective = objective or Contriever()
    settings = config(**options)
    objective.prepare(encoder, settings.batch_size, settings.seed)
    data = objective.data(documents(), encoder, settings.batch_size, settings.seed, folder)
    trained = train(encoder, objective, data, settings, check=check, work=work, seconds=seconds)
    return weights_of(encoder), trained


def weights_of(encoder: TrainableEncoder) -> dict[str, np.ndarray]:
    return {name: weight.detach().numpy().copy() for name, weight in encoder.module.named_parameters()}


def assert_same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, array in a.items():
        assert np.array_equal(array, b[name]), name

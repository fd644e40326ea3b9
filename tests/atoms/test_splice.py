"""Cross-entropy recovered: dictionaries whose figure is known, and the definition by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

from sememe.atoms import Atoms, Weights
from sememe.atoms.splice import cross_entropy_recovered
from sememe.errors import InputError
from sememe.models import LanguageModel

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SITE = "layers.1.residual"
WIDTH = 32


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return LanguageModel(causal_model("llama"), byte_pairs(), name="llama")


@pytest.fixture(scope="module")
def texts(llama) -> list[list[int]]:
    """What the model itself would write, so that it predicts it well: token ids of unequal lengths, two too short."""
    return [[], [7], *(written(llama, [first], length) for first, length in ((5, 9), (40, 2), (90, 30), (200, 17)))]


def written(lm: LanguageModel, ids: list[int], length: int) -> list[int]:
    while len(ids) < length:
        ids.append(int(lm.next_logits([ids])[0].argmax()))
    return ids


def exact(bias: float = 0.0, threshold: float = 0.0, k: int | None = None, **source: object) -> Atoms:
    """Every coordinate and its negative: reconstructs all above the threshold."""
    both = np.vstack([np.eye(WIDTH), -np.eye(WIDTH)]).astype(np.float32)
    n = 2 * WIDTH
    weights = Weights(
        both,
        both,
        np.zeros(n, np.float32),
        np.full(WIDTH, bias, np.float32),
        np.full(n, threshold, np.float32),
        k=k,
    )
    return Atoms(weights, np.ones(n), {"source": {"site": SITE, **source}})


def loss_with(lm: LanguageModel, texts, function) -> float:
    with lm.patch(SITE, function):
        return lm.loss(texts)


def test_an_exact_dictionary_recovers_all(llama, texts) -> None:
    found = cross_entropy_recovered(llama, exact(), texts)
    assert found.loss_clean == pytest.approx(llama.loss(texts), rel=1e-6)
    assert found.loss_spliced == pytest.approx(found.loss_clean, rel=1e-6)
    assert found.loss_zero_ablated > found.loss_clean + 0.1
    assert found.recovered_zero == pytest.approx(1, abs=1e-4)
    assert found.recovered_mean == pytest.approx(1, abs=1e-4)
    assert found.n_tokens == 8 + 1 + 29 + 16


def test_a_dictionary_of_nothing_recovers_nothing(llama, texts) -> None:
    found = cross_entropy_recovered(llama, exact(threshold=1e6), texts)
    assert found.recovered_zero == found.recovered_mean == 0
    biased = cross_entropy_recovered(llama, exact(bias=0.7, threshold=1e6), texts)
    assert biased.loss_spliced == biased.loss_mean_ablated != biased.loss_zero_ablated
    assert biased.recovered_mean == 0 != biased.recovered_zero


@pytest.mark.parametrize("k", [None, 5])
def test_is_the_definition(llama, texts, k) -> None:
    atoms = exact(bias=0.3, threshold=0.4, k=k)
    mean = np.linspace(-2, 2, WIDTH).astype(np.float32)

    def reconstruct(states):
        flat = states.reshape(-1, WIDTH).numpy()
        return torch.from_numpy(atoms.inverse_transform(atoms.transform(flat))).reshape(states.shape)

    found = cross_entropy_recovered(llama, atoms, texts, mean=mean)
    spliced, zero = loss_with(llama, texts, reconstruct), loss_with(llama, texts, torch.zeros_like)
    centred = loss_with(llama, texts, lambda states: torch.from_numpy(mean).expand(states.shape))
    clean = llama.loss(texts)
    assert found.loss_spliced == pytest.approx(spliced, rel=1e-5)
    assert found.loss_mean_ablated == pytest.approx(centred, rel=1e-6)
    assert found.recovered_zero == pytest.approx((zero - spliced) / (zero - clean), rel=1e-4)
    assert found.recovered_mean == pytest.approx((centred - spliced) / (centred - clean), rel=1e-4)


def test_first_tokens_stay_as_the_source_left_them_out(llama, texts) -> None:
    def but_first(states):
        new = torch.zeros_like(states)
        new[:, :1] = states[:, :1]
        return new

    found = cross_entropy_recovered(llama, exact(threshold=1e6, skip_first_token=True), texts)
    kept = loss_with(llama, texts, but_first)
    assert found.loss_zero_ablated == pytest.approx(kept, rel=1e-6)
    assert found.loss_spliced == pytest.approx(kept, rel=1e-6)
    whole = cross_entropy_recovered(llama, exact(skip_first_token=True), texts, skip_first_token=False)
    assert whole.loss_zero_ablated == pytest.approx(loss_with(llama, texts, torch.zeros_like), rel=1e-6)
    assert abs(whole.loss_zero_ablated - kept) > 1e-3


def test_batches_order_and_cuts(llama, texts) -> None:
    atoms = exact(threshold=0.5)
    one = cross_entropy_recovered(llama, atoms, texts, batch_size=1)
    many = cross_entropy_recovered(llama, atoms, texts[::-1], batch_size=64)
    assert one.recovered_zero == pytest.approx(many.recovered_zero, rel=1e-4)
    cut = cross_entropy_recovered(llama, atoms, texts, max_tokens=3)
    assert cut.n_tokens == 2 + 1 + 2 + 2
    assert cut.loss_clean == pytest.approx(llama.loss([row[:3] for row in texts]), rel=1e-6)


def test_texts_are_cut_into_tokens(llama) -> None:
    strings = ["the cat sat on the mat", "hi there", ""]
    found = cross_entropy_recovered(llama, exact(), strings)
    same = cross_entropy_recovered(llama, exact(), [llama.tokenize(text).ids for text in strings])
    assert found.loss_spliced == same.loss_spliced
    assert cross_entropy_recovered(llama, exact(), strings[0]).n_tokens == len(llama.tokenize(strings[0]).ids) - 1


def test_low_precision() -> None:
    lm = LanguageModel(causal_model("gpt2").to(torch.bfloat16), byte_pairs(), name="bf16")
    found = cross_entropy_recovered(lm, exact(), [written(lm, [5], 20)])
    assert found.loss_spliced == found.loss_clean < found.loss_zero_ablated


def test_an_ablation_that_costs_nothing_gives_no_share(llama, texts, monkeypatch) -> None:
    monkeypatch.setattr(LanguageModel, "losses", lambda _, ids, **__: iter([np.ones(len(row) - 1) for row in ids]))
    found = cross_entropy_recovered(llama, exact(), texts)
    assert math.isnan(found.recovered_zero)
    assert math.isnan(found.recovered_mean)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["", "h"], {}, "no text has two tokens"),
        ([], {}, "no text has two tokens"),
        ([3.5], {}, "expected a text or token ids"),
        (["some text"], {"max_tokens": 1}, "max_tokens is 1"),
        (["some text"], {"mean": np.zeros(3)}, "32 wide"),
        (["some text"], {"mean": np.full(WIDTH, np.nan)}, "NaN"),
        (["some text"], {"site": "layers.0.mlp.key"}, "48 wide"),
    ],
)
def test_refuses(llama, texts, options, message) -> None:
    with pytest.raises(InputError, match=message):
        cross_entropy_recovered(llama, exact(), texts, **options)


def test_massive_activations_stay_as_they_are(llama, texts) -> None:
    """With a limit that all vectors exceed, splicing and ablating change nothing."""
    kept = exact(bias=0.7, threshold=1e6)
    assert cross_entropy_recovered(llama, kept, texts).loss_spliced != llama.loss(texts)
    kept.card["norm_limit"] = 1e-6
    found = cross_entropy_recovered(llama, kept, texts)
    assert found.loss_clean == found.loss_spliced == found.loss_zero_ablated == found.loss_mean_ablated

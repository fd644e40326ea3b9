"""Sites are what transformers computes, whatever the family, the batch and the padding; patches leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

from sememe.errors import InputError, ModelError
from sememe.models import LanguageModel

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FAMILIES = [
    "llama",
    "qwen3",
    "gemma2",
    "mistral",
    "mixtral",
    "gpt2",
    "gpt_neox",
    "gpt_neo",
    "gptj",
    "phi",
    "opt",
    "bloom",
    "falcon",
]
TEXTS = [
    "the cat sat on the mat and was very happy about it because cats are warm",
    "hi",
    "",
    "emoji 😀 here, and ünïcode",
    "sparse vectors",
    "documents in memory " * 30,
]


@pytest.fixture(scope="module", params=FAMILIES)
def any_model(request) -> LanguageModel:
    return LanguageModel(causal_model(request.param), byte_pairs(), name=request.param)


@pytest.fixture(scope="module", params=["llama", "gpt2", "gpt_neox"])
def lm(request) -> LanguageModel:
    return LanguageModel(causal_model(request.param), byte_pairs(), name=request.param)


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return LanguageModel(causal_model("llama"), byte_pairs(), name="llama")


def close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and bool(
        np.abs(ours - theirs).max(initial=0) <= 2e-5 * np.abs(theirs).max(initial=1)
    )


def run_alone(lm: LanguageModel, ids: list[int]):
    with torch.inference_mode():
        return lm.model(input_ids=torch.tensor([ids]), output_hidden_states=True)


def test_residuals_are_the_hidden_states_of_transformers(any_model) -> None:
    for record in any_model.activations(TEXTS, any_model.sites()):
        ids = record.tokens.ids
        for site, array in record.sites.items():
            assert array.shape == (len(ids), any_model.site_width(site))
            assert array.dtype == np.float32
        if not ids:
            continue
        states = [state[0].numpy() for state in run_alone(any_model, ids).hidden_states]
        assert close(record["embedding"], states[0])
        assert close(record["final"], states[-1])
        for layer in range(any_model.n_layers - 1):  # transformers normalises the last one
            assert close(record[f"layers.{layer}.residual"], states[layer + 1])


def test_parts_add_up_to_the_residual(lm) -> None:
    for record in lm.activations(TEXTS, lm.sites()):
        for layer in range(lm.n_layers):
            before = record["embedding"] if layer == 0 else record[f"layers.{layer - 1}.residual"]
            parts = before + record[f"layers.{layer}.attention"] + record[f"layers.{layer}.mlp"]
            assert close(record[f"layers.{layer}.residual"], parts)


LAST_MATRICES = {
    "llama": lambda model, layer: (model.model.layers[layer].mlp.down_proj, model.model.layers[layer].self_attn.o_proj),
    "gpt2": lambda model, layer: (model.transformer.h[layer].mlp.c_proj, model.transformer.h[layer].attn.c_proj),
    "gpt_neox": lambda model, layer: (
        model.gpt_neox.layers[layer].mlp.dense_4h_to_h,
        model.gpt_neox.layers[layer].attention.dense,
    ),
}


def test_keys_and_heads_enter_the_last_matrices(lm) -> None:
    record = next(lm.activations(TEXTS[:1], lm.sites()))
    for layer in range(lm.n_layers):
        mlp, attention = LAST_MATRICES[lm.name](lm.model, layer)
        for site, matrix in (("mlp", mlp), ("attention", attention)):
            source = record[f"layers.{layer}.{site}.{'key' if site == 'mlp' else 'heads'}"]
            with torch.inference_mode():
                assert close(matrix(torch.from_numpy(source)).numpy(), record[f"layers.{layer}.{site}"])


def test_neighbours_order_and_batch_size_change_nothing(lm) -> None:
    sites = ["layers.1.mlp.key", "layers.2.residual"]
    together = list(lm.activations(TEXTS, sites))
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = list(lm.activations([TEXTS[row] for row in order], sites, batch_size=2))
    assert [record.index for record in together] == list(range(len(TEXTS)))
    for row, text in enumerate(TEXTS):
        alone = next(lm.activations(text, sites, batch_size=1))
        for site in sites:
            assert close(together[row][site], alone[site])
            assert close(shuffled[int(np.flatnonzero(order == row)[0])][site], alone[site])


def test_many_slabs_keep_the_order(llama) -> None:
    texts = [f"{'cat ' * (number % 13)}{number}" for number in range(200)]
    records = list(llama.activations(texts, "embedding", batch_size=1))
    assert [llama.tokenizer.decode(record.tokens.ids) for record in records] == texts


def test_a_forward_pass_stops_at_the_last_wanted_site(lm) -> None:
    ran = []
    blocks = lm.model.base_model.h if lm.name == "gpt2" else lm.model.base_model.layers
    handles = [block.register_forward_hook(lambda *_, n=number: ran.append(n)) for number, block in enumerate(blocks)]
    head = lm.model.get_output_embeddings().register_forward_hook(lambda *_: ran.append("logits"))
    try:
        list(lm.activations(TEXTS[:2], ["layers.0.residual", "layers.1.attention"]))
        assert set(ran) == {0}
        ran.clear()
        list(lm.activations(TEXTS[:2], "embedding"))
        assert ran == []
        list(lm.activations(TEXTS[:2], "final"))
        assert set(ran) == {0, 1, 2}
    finally:
        for handle in (*handles, head):
            handle.remove()


def n_hooks(lm: LanguageModel) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.model.modules())


def test_hooks_are_gone_afterwards_even_after_an_error(lm) -> None:
    before = n_hooks(lm)
    list(lm.activations(TEXTS, lm.sites()))
    assert n_hooks(lm) == before
    with pytest.raises(RuntimeError, match="mine"), lm.patch("layers.1.mlp", fail):
        list(lm.activations(TEXTS, "layers.2.residual"))
    assert n_hooks(lm) == before
    records = lm.activations(TEXTS, "layers.0.residual", batch_size=1)
    next(records)
    records.close()
    assert n_hooks(lm) == before


def fail(_: object) -> None:
    raise RuntimeError("mine")


def test_patches_act_and_leave_no_trace(lm) -> None:
    plain = list(lm.logits(TEXTS))
    for site in (
        "embedding",
        "layers.1.residual",
        "layers.1.mlp",
        "layers.1.mlp.key",
        "layers.0.attention.heads",
        "final",
    ):
        with lm.patch(site, lambda states: states * 0.5):
            changed = list(lm.logits(TEXTS))
        with lm.patch(site, lambda states: states.clone()):
            same = list(lm.logits(TEXTS))
        assert np.abs(changed[0] - plain[0]).max() > 1e-3
        assert all(close(ours, theirs) for ours, theirs in zip(same, plain, strict=True))
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(lm.logits(TEXTS), plain, strict=True))


def test_a_patched_site_is_read_as_patched(lm) -> None:
    wanted = ["layers.0.attention", "layers.1.mlp.key", "layers.2.residual"]
    clean = next(lm.activations(TEXTS[0], wanted))
    for site in wanted:
        with lm.patch(site, lambda states: states + 1):
            assert close(next(lm.activations(TEXTS[0], wanted))[site], clean[site] + 1)


def test_carrying_a_state_over_restores_the_output(llama) -> None:
    """Patching a block's output with that of another text makes everything after it that of the other text."""
    first, other = "the cat sat", "the mat was"
    ids = [llama.tokenize(text).ids for text in (first, other)]
    n = min(map(len, ids))
    first_ids, other_ids = [row[:n] for row in ids]
    state = torch.from_numpy(next(llama.activations([other_ids], "layers.1.residual"))["layers.1.residual"])
    with llama.patch("layers.1.residual", state[None].expand_as):
        patched = next(llama.logits([first_ids]))
    assert close(patched, next(llama.logits([other_ids])))
    assert not np.allclose(patched, next(llama.logits([first_ids])), atol=1e-3)


@pytest.mark.parametrize("function", [lambda states: states[:, :1, :3], lambda states: None, lambda states: 1.0])
def test_a_patch_of_another_shape_is_refused(llama, function) -> None:
    with pytest.raises(InputError, match=r"layers\.1\.mlp: the function gave"), llama.patch("layers.1.mlp", function):
        list(llama.logits(TEXTS))


def test_logits_equal_transformers(any_model) -> None:
    texts = [text for text in TEXTS if text]
    found = list(any_model.logits(texts))
    for text, logits in zip(texts, found, strict=True):
        ids = any_model.tokenize(text).ids[: any_model.max_tokens]
        assert close(logits, run_alone(any_model, ids).logits[0].numpy())
    assert close(any_model.next_logits(texts), np.stack([logits[-1] for logits in found]))
    assert any_model.next_logits([]).shape == (0, len(any_model.tokenizer))


def test_losses_equal_a_softmax_in_float64(llama) -> None:
    losses = list(llama.losses(TEXTS))
    for text, loss, logits in zip(TEXTS, losses, llama.logits(TEXTS), strict=True):
        targets = llama.tokenize(text).ids[1 : llama.max_tokens]
        rows = logits.astype(np.float64)[: len(targets)]
        expected = np.log(np.exp(rows).sum(1)) - rows[np.arange(len(targets)), targets]
        assert np.allclose(loss, expected, atol=1e-4)
    assert llama.loss(TEXTS) == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)


def test_generation_continues_greedily_and_draws_by_its_seed(llama) -> None:
    prompt = "the cat"
    ids = llama.tokenize(prompt).ids
    for _ in range(6):
        ids = [*ids, int(llama.next_logits([ids])[0].argmax())]
    start = len(llama.tokenize(prompt).ids)
    stop = next((place for place in range(start, len(ids)) if ids[place] == 0), len(ids))
    assert llama.generate(prompt, 6) == llama.tokenizer.decode(ids[start:stop], skip_special_tokens=True)
    state = torch.get_rng_state()
    drawn = [llama.generate(prompt, 8, temperature=1.0, random_state=seed) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_tokens_know_their_characters(lm) -> None:
    text = "the cat, 😀 ünïcode"
    tokens = lm.tokenize(text)
    assert lm.tokenizer.decode(tokens.ids) == text
    assert "".join(text[start:end] for start, end in dict.fromkeys(tokens.spans)) == text
    record = next(lm.activations(text, "embedding", max_tokens=3))
    assert record.tokens == (tokens.ids[:3], tokens.spans[:3])
    assert record["embedding"].shape == (3, lm.width)


def test_ids_stand_for_texts(lm) -> None:
    ids = [lm.tokenize(text).ids for text in TEXTS]
    for by_ids, by_text in zip(lm.activations(ids, "layers.1.mlp"), lm.activations(TEXTS, "layers.1.mlp"), strict=True):
        assert np.array_equal(by_ids["layers.1.mlp"], by_text["layers.1.mlp"])
        assert by_ids.tokens.spans == []
    assert list(lm.activations([], "embedding")) == []
    assert next(lm.activations([np.array(ids[0])], "embedding"))["embedding"].shape == (len(ids[0]), 32)


def test_sites_expand_in_network_order(llama) -> None:
    assert llama.sites()[:6] == [
        "embedding",
        "layers.0.attention.heads",
        "layers.0.attention",
        "layers.0.mlp.key",
        "layers.0.mlp",
        "layers.0.residual",
    ]
    assert (llama.n_layers, llama.n_heads, llama.width, llama.max_tokens) == (3, 4, 32, 64)
    assert llama.expand_sites(["layers.*.residual", "embedding"]) == ["embedding"] + [
        f"layers.{layer}.residual" for layer in range(3)
    ]
    assert llama.expand_sites("layers.1.*") == ["layers.1.attention", "layers.1.mlp", "layers.1.residual"]
    assert llama.site_width("layers.0.mlp.key") == 48
    assert llama.site_width("layers.0.attention.heads") == 4 * 12


@pytest.mark.parametrize("name", ["layers.1.residul", "layers.9.mlp", "layers.*.nothing", "", "layers.-1.mlp"])
def test_an_unknown_site_names_near_ones(llama, name) -> None:
    with pytest.raises(InputError, match="no site") as caught:
        llama.activations(TEXTS, name)
    assert "layers.N.residual" in str(caught.value)
    assert "N from 0 to 2" in str(caught.value)
    if name == "layers.1.residul":
        assert "Did you mean layers.1.residual" in str(caught.value)


@pytest.mark.parametrize("name", ["layers.*.mlp", "layers.7.mlp"])
def test_one_site_is_one_site(llama, name) -> None:
    for ask in (llama.site_width, lambda name: llama.patch(name, lambda states: states)):
        with pytest.raises(InputError, match="no site"):
            ask(name)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([None], r"texts\[0\]"),
        ([3], r"texts\[0\]"),
        (["a", 3], r"texts\[1\]"),
        (["\ud800"], "half a surrogate"),
        ([["a"]], "ids"),
    ],
)
def test_refuses_what_is_no_text_before_computing(llama, texts, message) -> None:
    with pytest.raises(InputError, match=message):
        llama.activations(texts, "embedding")


def test_refuses_options_out_of_range(llama) -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        llama.activations(TEXTS, "embedding", batch_size=0)
    with pytest.raises(InputError, match="max_tokens is 0"):
        llama.activations(TEXTS, "embedding", max_tokens=0)
    with pytest.raises(InputError, match="no tokens"):
        llama.next_logits([""])
    with pytest.raises(InputError, match="the prompt has 0 tokens"):
        llama.generate("")
    with pytest.raises(InputError, match="nothing to predict"):
        llama.loss(["", "x"])
    with pytest.raises(InputError, match="has no files"):
        _ = llama.fingerprint


def test_an_unknown_architecture_lists_the_supported_ones() -> None:
    config = transformers.BertConfig(
        vocab_size=340,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        is_decoder=True,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match=r"BertLMHeadModel.*module paths.*Llama.*GPT-2.*GPT-NeoX"):
        LanguageModel(model, byte_pairs(), name="bert")


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_loads_a_folder(tmp_path, dtype) -> None:
    causal_model("gpt2").save_pretrained(tmp_path)
    byte_pairs().save_pretrained(tmp_path)
    lm = LanguageModel.load(tmp_path, dtype=dtype, device="cpu")
    assert str(lm.model.dtype) == f"torch.{dtype or 'float32'}"
    assert lm.name == str(tmp_path)
    assert len(lm.fingerprint) == 64
    record = next(lm.activations("the cat", "layers.1.residual"))
    assert record["layers.1.residual"].dtype == np.float32
    assert np.isfinite(record["layers.1.residual"]).all()

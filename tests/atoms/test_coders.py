"""All coders: gradients against automatic differentiation, and the common suite of estimators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sememe.atoms import AtomsConfig, SparseAutoencoder
from sememe.atoms.coders import CODERS
from sememe.atoms.coders.coder import first_thresholds
from sememe.atoms.config import CODER_NAMES
from sememe.atoms.training import take_step
from sememe.errors import InputError, NotFittedError

N, D, ATOMS = 11, 6, 16
QUICK = {"n_atoms": 20, "steps": 80, "batch_size": 64, "target_active": 3.0}


def parameters(coder, seed=0):
    generator = torch.Generator().manual_seed(seed)
    p = {
        "decoder": torch.nn.functional.normalize(torch.randn(ATOMS, D, generator=generator), dim=1),
        "encoder": torch.randn(ATOMS, D, generator=generator),
        "encoder_bias": 0.1 * torch.randn(ATOMS, generator=generator),
        "bias": 0.1 * torch.randn(D, generator=generator),
    }
    x = torch.randn(N, D, generator=generator)
    coder.begin(p, ((x - p["bias"]) @ p["encoder"].T + p["encoder_bias"]).numpy())
    return {name: tensor.double() for name, tensor in p.items()}, x.double()


def dense(coder, name, p, x):
    """The loss as the papers write it, with dense matrices; what is discrete or frozen is detached."""
    z = (x - p["bias"]) @ p["encoder"].T + p["encoder_bias"]
    penalty = coder.state.get("penalty", 0.0)
    extra = 0.0
    if name == "relu":
        a = torch.relu(z)
        extra = penalty * a.sum(1).mean()
    elif name == "topk":
        a = torch.zeros_like(z).scatter(1, *reversed(torch.topk(torch.relu(z), coder.k, dim=1)))
    elif name == "gated":
        gate = torch.relu(z)
        u = z - p["encoder_bias"]
        a = torch.relu(p["log_gain"].exp() * u + p["amplitude_bias"]) * (z > 0)
        frozen = gate @ p["decoder"].detach() + p["bias"].detach()
        extra = penalty * gate.sum(1).mean() + ((x - frozen) ** 2).sum(1).mean()
    elif name in ("batch_topk", "matryoshka"):
        wanted = round(coder._k * len(x))
        least = torch.topk(torch.relu(z).flatten(), wanted).values.min()
        a = torch.relu(z) * (z >= least)
    else:
        a = z * (z >= p["log_thresholds"].detach().exp())
    groups = torch.from_numpy(coder.groups(ATOMS))
    losses = [
        ((x - p["bias"] - (a * (groups <= part)) @ p["decoder"]) ** 2).sum(1).mean()
        for part in range(int(groups[-1]) + 1)
    ]
    return sum(losses) / len(losses) + extra


@pytest.mark.parametrize("name", CODER_NAMES)
def test_gradients_equal_those_of_the_dense_loss(name):
    coder = CODERS[name](AtomsConfig(coder=name, n_atoms=ATOMS, target_active=4.0, bandwidth=1e-6))
    p, x = parameters(coder)
    if name == "gated":
        p["log_gain"] += 0.2
        p["amplitude_bias"] += 0.1
    step = take_step(x, p, coder, torch.from_numpy(coder.groups(ATOMS)))
    leaves = {key: value.clone().requires_grad_() for key, value in p.items()}
    dense(coder, name, leaves, x).backward()
    for key, leaf in leaves.items():
        if key == "log_thresholds":
            continue
        np.testing.assert_allclose(step.gradients[key].numpy(), leaf.grad.numpy(), atol=1e-10, err_msg=key)


@pytest.mark.parametrize("name", ["threshold", "jumprelu"])
@pytest.mark.parametrize("z", [0.85, 0.75, 1.2, 0.5])
def test_threshold_gradients_follow_the_straight_through_formula(name, z):
    """One atom, one vector (spec 01, check 9): inside the window da/dtau = -tau/b, outside 0."""
    tau = 0.8 if name == "threshold" else 0.1
    z = z if name == "threshold" else z / 8
    penalty, bandwidth = 0.3, 0.5
    width = bandwidth * tau
    coder = CODERS[name](AtomsConfig(coder=name, n_atoms=1, target_active=1.0, bandwidth=bandwidth, penalty=penalty))
    coder.after({}, 1.0, 1.0)  # the penalty of jumprelu warms up
    p = {
        "decoder": torch.ones(1, 1, dtype=torch.float64),
        "encoder": torch.ones(1, 1, dtype=torch.float64),
        "encoder_bias": torch.zeros(1, dtype=torch.float64),
        "bias": torch.zeros(1, dtype=torch.float64),
        "log_thresholds": torch.tensor([tau], dtype=torch.float64).log(),
    }
    step = take_step(torch.tensor([[z]], dtype=torch.float64), p, coder, torch.zeros(1, dtype=torch.long))
    d_error_d_a = -2 * (z - (z if z >= tau else 0.0))
    inside = abs(z - tau) < width / 2
    expected = tau * (-(tau / width) * d_error_d_a - penalty / width) if inside else 0.0
    assert step.gradients["log_thresholds"].item() == pytest.approx(expected, abs=1e-12)


def test_at_the_edges_of_the_window_the_gradient_is_zero():
    """Spec 01, check 9: at z = tau +- b/2 exactly."""
    coder = CODERS["jumprelu"](AtomsConfig(coder="jumprelu", n_atoms=1, target_active=1.0, bandwidth=1.0, penalty=1.0))
    coder.after({}, 1.0, 1.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    coder._half = 0.25
    for z in (0.75, 1.25):  # exact in binary, around tau = 1 with b = 0.5
        p = {
            "decoder": one.clone(),
            "encoder": one.clone(),
            "encoder_bias": torch.zeros(1, dtype=torch.float64),
            "bias": torch.zeros(1, dtype=torch.float64),
            "log_thresholds": torch.zeros(1, dtype=torch.float64),
        }
        step = take_step(z * one, p, coder, torch.zeros(1, dtype=torch.long))
        assert step.gradients["log_thresholds"].item() == pytest.approx(0, abs=1e-9)


def test_without_a_penalty_threshold_gradients_cancel():
    coder = CODERS["threshold"](AtomsConfig(n_atoms=ATOMS, target_active=4.0))
    p, x = parameters(coder)
    found = take_step(x, p, coder, torch.zeros(ATOMS, dtype=torch.long)).gradients["log_thresholds"]
    assert float(found.sum()) == pytest.approx(0, abs=1e-9)
    assert float(found.abs().sum()) > 1e-3


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((20, 12))
    codes = rng.uniform(0.5, 1.5, (400, 20)) * (np.argsort(rng.random((400, 20)), axis=1) < 3)
    return (codes @ atoms).astype(np.float32) + 0.5


@pytest.fixture(scope="module", params=CODER_NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(name, vectors):
    return SparseAutoencoder(coder=name, **QUICK).fit(vectors)


def test_fitting_twice_gives_the_same_and_another_seed_something_else(fitted, vectors):
    again = clone(fitted).fit(vectors)
    for key, array in fitted.weights_.arrays().items():
        np.testing.assert_array_equal(again.weights_.arrays()[key], array, err_msg=key)
    other = clone(fitted).set_params(random_state=1).fit(vectors)
    assert not np.array_equal(other.weights_.decoder, fitted.weights_.decoder)


def test_input_is_not_changed(fitted, vectors):
    copy = vectors.copy()
    copy.setflags(write=False)
    clone(fitted).fit(copy).transform(copy)
    np.testing.assert_array_equal(copy, vectors)


def test_pieces_equal_the_whole_and_order_does_not_matter(fitted, vectors):
    codes = fitted.transform(vectors).toarray()
    pieces = np.vstack([fitted.transform(part).toarray() for part in np.array_split(vectors, 7)])
    np.testing.assert_allclose(pieces, codes, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(vectors))
    np.testing.assert_allclose(fitted.transform(vectors[order]).toarray(), codes[order], atol=1e-5)
    assert fitted.transform(vectors[:1]).shape == (1, 20)
    assert fitted.transform(vectors[:0]).shape == (0, 20)


def test_codes_are_sparse_positive_and_as_many_as_asked_for(fitted, name, vectors):
    long = clone(fitted).set_params(steps=600).fit(vectors)
    codes = long.transform(vectors)
    assert (codes.data > 0).all()
    if name != "jumprelu":  # it has a penalty, not a target
        assert codes.nnz / len(vectors) == pytest.approx(3, rel=0.4)
    if name == "topk":
        assert np.diff(codes.indptr).max() <= 3
    assert long.report_["r2"] > 0.3
    np.testing.assert_allclose(np.linalg.norm(long.weights_.decoder, axis=1), 1, atol=1e-5)


def test_a_dictionary_learned_in_atomic_coordinates_is_one_of_the_data(name, vectors):
    scaled = vectors * np.geomspace(1, 30, 12, dtype=np.float32)
    fitted = SparseAutoencoder(coder=name, space="atomic", **{**QUICK, "steps": 500}).fit(scaled)
    np.testing.assert_allclose(np.linalg.norm(fitted.weights_.decoder, axis=1), 1, atol=1e-5)
    # In coordinates that no scaling alters, both data give the same score, up to rounding that training amplifies.
    plain = SparseAutoencoder(coder=name, space="atomic", **{**QUICK, "steps": 500}).fit(vectors)
    assert fitted.report_["r2_atomic"] == pytest.approx(plain.report_["r2_atomic"], abs=0.06)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: np.where(np.arange(12) == 3, np.nan, x), "row 0 holds NaN"),
        (lambda x: x[:1], "too few"),
        (lambda x: x[:0], "too few"),
        (np.ones_like, "the same"),
        (lambda x: x[0], "two-dimensional"),
        (lambda x: [["a"] * 12] * 400, "must be numbers"),
    ],
)
def test_bad_vectors_are_refused(name, vectors, make, message):
    with pytest.raises(InputError, match=message):
        SparseAutoencoder(coder=name, **QUICK).fit(make(vectors))


def test_rank_deficient_data_constant_columns_and_few_vectors_work(name, vectors):
    poor = vectors.copy()
    poor[:, 4:8] = poor[:, :4]
    poor[:, 11] = 7.0
    fitted = SparseAutoencoder(coder=name, **QUICK).fit(poor)
    assert np.isfinite(fitted.report_["r2"])
    few = SparseAutoencoder(coder=name, **QUICK).fit(vectors[:15])
    assert any("can memorise" in warning for warning in few.report_["warnings"])
    one = SparseAutoencoder(coder=name, **{**QUICK, "n_atoms": 4}).fit(vectors[:, :1])
    assert one.transform(vectors[:, :1]).shape == (400, 4)


def test_it_says_what_is_wrong(name, fitted):
    with pytest.raises(NotFittedError):
        SparseAutoencoder(coder=name).transform(np.zeros((2, 3)))
    with pytest.raises(InputError, match="12 wide"):
        fitted.transform(np.zeros((2, 3)))
    with pytest.raises(InputError, match="coder must be one of"):
        SparseAutoencoder(coder="nonsense").fit(np.zeros((20, 3)))


def test_first_thresholds_give_the_target():
    z = np.random.default_rng(0).standard_normal((500, 40)).astype(np.float32)
    assert (z >= first_thresholds(z, 5.0)).sum(axis=1).mean() == pytest.approx(5, rel=0.05)

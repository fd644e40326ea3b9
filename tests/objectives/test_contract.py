"""What every objective promises the loop: `sememe.training.objective`. A new one is added to `CASES`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import byte_pairs, causal_model
from tiny_training import documents, small_encoder, small_tokens

torch = pytest.importorskip("torch")

from sememe.corpus import Document  # noqa: E402
from sememe.models.language import LanguageModel  # noqa: E402
from sememe.models.trainable import TokenStates  # noqa: E402
from sememe.objectives import OBJECTIVES, objective_class, objective_config  # noqa: E402
from sememe.objectives.contriever import Contriever  # noqa: E402
from sememe.objectives.crisp import Crisp  # noqa: E402
from sememe.objectives.distillation import Distillation  # noqa: E402
from sememe.objectives.masked_language_model import MaskedLanguageModel  # noqa: E402
from sememe.objectives.nested import Nested  # noqa: E402
from sememe.objectives.pairs import Pairs  # noqa: E402
from sememe.objectives.replug import Replug  # noqa: E402
from sememe.objectives.revela import Revela  # noqa: E402
from sememe.training.objective import Seen  # noqa: E402
from sememe.training.representing import Represent, map_tensor  # noqa: E402


def shared_letters(query: str, texts) -> np.ndarray:
    """A teacher."""
    return np.array([len(set(query) & set(text)) / 3 for text in texts], np.float32)


def tiny_replug() -> Replug:
    language = LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")
    return Replug(language_model=language, chunk_words=12, chunk_tokens=12)


def tiny_revela() -> Revela:
    language = LanguageModel(causal_model("llama"), byte_pairs(), name="tiny")
    return Revela(language_model=language, weight_temperature=0.5, chunk_words=12, chunk_tokens=12, dual_loss=True)


CASES = {
    "contriever": Contriever,
    "contriever, ict": lambda: Contriever(pairing="ict", span="sentence", augment="shuffle"),
    "contriever, queue": lambda: Contriever(queue=16, momentum=0.5),
    "crisp": lambda: Crisp(pruning="C2x4"),
    "distillation": lambda: Distillation(teacher=shared_letters, negatives=2, mine="bm25", mined=3, depth=5),
    "masked-lm": MaskedLanguageModel,
    "nested": lambda: Nested(Contriever(queue=16), [4, 8]),
    "pairs": lambda: Pairs(symmetric=True),
    "replug": tiny_replug,
    "revela": tiny_revela,
    "pairs, mined": lambda: Pairs(mine="self", refresh=1, mined=3, depth=5, negatives=2),
}
BATCH = 8


def texts() -> list[Document]:
    """Texts that are pairs too."""
    return [
        Document(each.id, each.text, metadata={"query": each.text[:15], "negatives": [each.text[::-1]]})
        for each in documents()
    ]


class World:
    """An objective, prepared, with its data and a batch of representations."""

    def __init__(self, case: str, folder, seed: int = 0, number: int = 2) -> None:
        self.objective = CASES[case]()
        self.encoder = small_tokens() if case == "crisp" else small_encoder(dropout=0.0)
        self.objective.prepare(self.encoder, BATCH, seed)
        self.data = self.objective.data(texts(), self.encoder, BATCH, seed, folder)
        self.batch = self.data.batch(number)
        kinds, others = self.objective.views, self.objective.encoders()
        represent = Represent(self.encoder, kinds, others, chunk=0, precision="float32", seed=seed)
        self.found = represent.batch(self.batch, number).representations

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {**self.objective.arrays(), **self.objective.parameters()}
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@pytest.fixture(params=CASES)
def case(request) -> str:
    return request.param


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_every_objective_of_the_command_line_is_a_case():
    known = {CASES[name]().name for name in CASES}
    assert known >= set(OBJECTIVES)
    for name in OBJECTIVES:
        assert objective_class(name)(objective_config(name)()).name == name


def test_a_batch_is_a_function_of_its_number_and_the_seed(tmp_path, case):
    world = World(case, tmp_path)
    for number in (5, 2, 0):
        a, b = world.data.batch(number), world.data.batch(number)
        assert a.views == b.views
        assert a.documents == b.documents
        assert all(np.array_equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    assert world.data.batch(0).views != world.data.batch(1).views
    again, other = World(case, tmp_path), World(case, tmp_path, seed=1)
    assert again.batch.views == world.batch.views
    assert again.data.fingerprint == world.data.fingerprint
    assert other.batch.views != world.batch.views


def test_views_are_what_they_are_said_to_be(tmp_path, case):
    world = World(case, tmp_path)
    assert set(world.batch.views) == set(world.objective.views)
    for rows in world.batch.views.values():
        assert all(2 <= len(row) <= 40 for row in rows)  # framed, and as many as the model reads
    assert len(world.batch.documents) == BATCH
    json.dumps(dict(world.data.about))
    json.dumps(world.objective.card())


def test_the_loss_is_pure(tmp_path, case):
    world = World(case, tmp_path)
    state, before = (
        world.state(),
        {view: map_tensor(r, lambda t: t.detach().clone()) for view, r in world.found.items()},
    )
    first, second = (world.objective.loss(world.found, world.batch) for _ in range(2))
    assert first.value.shape == ()
    assert torch.equal(first.value, second.value)
    assert first.figures == second.figures
    assert all(np.isfinite(value) for value in first.figures.values())
    assert same(world.state(), state)
    for view, representation in world.found.items():
        tensors = zip(representation, before[view], strict=True) if isinstance(representation, TokenStates) else []
        for a, b in tensors or [(representation, before[view])]:
            assert torch.equal(a, b)


def test_the_loss_falls_along_its_gradient(tmp_path, case):
    """Finite differences in the direction of the gradient of all representations."""
    world = World(case, tmp_path)
    loss = world.objective.loss(world.found, world.batch).value
    loss.backward()
    leaves = {view: r.vectors if isinstance(r, TokenStates) else r for view, r in world.found.items()}
    gradients = {view: leaf.grad for view, leaf in leaves.items() if leaf.grad is not None}
    assert gradients
    square = sum(float(gradient.square().sum()) for gradient in gradients.values())
    step = 1e-3 / square**0.5
    values = []
    for sign in (1, -1):
        moved = {
            view: map_tensor(
                r, lambda t, v=view: t.detach() + sign * step * gradients[v] if v in gradients else t.detach()
            )
            for view, r in world.found.items()
        }
        values.append(float(world.objective.loss(moved, world.batch).value.detach()))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(square, rel=0.03)


def test_state_changes_in_the_hooks_only_and_is_all_named(tmp_path, case):
    """Two objectives with the same named state behave alike ever after: so a checkpoint of it is enough."""
    world, twin = World(case, tmp_path), World(case, tmp_path)
    world.objective.before_step(1)
    seen = Seen({view: map_tensor(r, lambda t: t.detach()) for view, r in world.found.items()}, world.batch)
    world.objective.after_step(1, [seen])
    with torch.no_grad():
        own = {**twin.objective.arrays(), **twin.objective.parameters()}
        for name, tensor in {**world.objective.arrays(), **world.objective.parameters()}.items():
            own[name].copy_(tensor)
    for each in (world, twin):
        each.objective.before_step(2)
        each.objective.after_step(2, [seen])
    assert same(world.state(), twin.state())
    values = [each.objective.loss(world.found, world.batch).value for each in (world, twin)]
    assert torch.equal(*values)
    assert not set(world.objective.arrays()) & set(world.objective.parameters())

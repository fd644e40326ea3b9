"""Several processes: the weights are those of one process with the whole batch."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from tiny_training import config, documents, run, small_encoder

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from sememe import Encoder  # noqa: E402
from sememe.objectives.contriever import Contriever  # noqa: E402
from sememe.objectives.masked_language_model import MaskedLanguageModel  # noqa: E402
from sememe.training.encoders import train_encoder, work_folder  # noqa: E402
from sememe.training.workers import Workers  # noqa: E402

OBJECTIVES = {
    "in batch": Contriever,
    "queue": lambda: Contriever(queue=16, momentum=0.9),
    "tokens": MaskedLanguageModel,
}


def together(n: int, work, folder: Path) -> None:
    """Do `work(rank)` in `n` processes that know of each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def one(rank: int) -> None:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
        os.environ.update({name: str(value) for name, value in names.items()}, MASTER_ADDR="127.0.0.1")
        os.chdir(folder)
        assert Workers.current() == Workers(rank, n)
        work(rank)
        torch.distributed.destroy_process_group()

    children = [multiprocessing.get_context("fork").Process(target=one, args=(rank,)) for rank in range(n)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("chunk", [0, 3])
def test_two_and_three_processes_take_the_steps_of_one(tmp_path, kind, chunk):
    options = {"steps": 3, "chunk": chunk, "accumulate": 2}
    alone, reference = run(
        tmp_path, objective=OBJECTIVES[kind](), encoder=small_encoder(dropout=0.0), warm_up=0.0, **options
    )
    for n in (2, 3):

        def work(rank: int) -> None:
            folder = tmp_path / str(rank)
            folder.mkdir(exist_ok=True)
            encoder = small_encoder(dropout=0.0)
            found, trained = run(folder, objective=OBJECTIVES[kind](), encoder=encoder, warm_up=0.0, **options)
            np.savez(folder / "weights.npz", losses=[row["loss"] for row in trained.log], **found)

        together(n, work, tmp_path)
        for rank in range(n):
            found = dict(np.load(tmp_path / str(rank) / "weights.npz"))
            np.testing.assert_allclose(found.pop("losses"), [row["loss"] for row in reference.log], atol=1e-5)
            for name, array in found.items():
                np.testing.assert_allclose(array, alone[name], atol=2e-5, err_msg=f"{name} of {rank}")


def test_the_first_process_measures_and_saves(tmp_path):
    def work(rank: int) -> None:
        done = train_encoder(
            small_encoder(), documents(150, words=48), Contriever(), tmp_path / "out", config(held_out=24)
        )
        assert bool(done.card) == (rank == 0)

    together(2, work, tmp_path)
    assert Encoder.load(tmp_path / "out").encode(["taa"]).shape == (1, 16)
    assert not work_folder(tmp_path / "out").exists()


def test_shares_are_parts_of_the_whole():
    for n in (1, 2, 7, 64):
        for size in (1, 2, 3, 8):
            shares = [place for rank in range(size) for place in Workers(rank, size).share(n)]
            assert shares == list(range(n))

"""A run that is killed and started again ends in the same weights, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sememe.atoms import SparseAutoencoder
from sememe.atoms import checkpoint as checkpoint_module
from sememe.atoms.checkpoint import remove_checkpoint
from sememe.atoms.config import CODER_NAMES
from sememe.errors import ArtifactError

STEPS = 300
OPTIONS = {"n_atoms": 24, "steps": STEPS, "batch_size": 32, "target_active": 3.0}


class StoppedError(Exception):
    """Training was interrupted by the test."""


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    return (rng.random((500, 20)) ** 8 @ rng.standard_normal((20, 10))).astype(np.float32)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(checkpoint_module, "SECONDS", 0.0)


def stop_at(monkeypatch, step):
    keep = checkpoint_module.Checkpoint.keep

    def stopping(self, number):
        # The checkpoint of the last but one step stands, so a step is lost and done again.
        if number >= step:
            raise StoppedError
        keep(self, number)

    monkeypatch.setattr(checkpoint_module.Checkpoint, "keep", stopping)


@pytest.mark.parametrize("coder", CODER_NAMES)
def test_a_stopped_run_goes_on_to_the_same_weights(coder, vectors, tmp_path, monkeypatch):
    expected = SparseAutoencoder(coder=coder, **OPTIONS).fit(vectors)
    place = tmp_path / "checkpoint"
    for step in (1, 40, 41, 173, 299):
        with monkeypatch.context() as patched:
            stop_at(patched, step)
            with pytest.raises(StoppedError):
                SparseAutoencoder(coder=coder, **OPTIONS).fit(vectors, checkpoint=place)
    found = SparseAutoencoder(coder=coder, **OPTIONS).fit(vectors, checkpoint=place)
    for name, array in expected.weights_.arrays().items():
        np.testing.assert_array_equal(found.weights_.arrays()[name], array, err_msg=name)
    assert found.report_ == expected.report_
    assert place.is_dir()  # until the atoms are saved
    remove_checkpoint(place)
    assert not place.exists()
    remove_checkpoint(place)


def test_a_checkpoint_of_another_run_is_refused(vectors, tmp_path, monkeypatch):
    place = tmp_path / "checkpoint"
    with monkeypatch.context() as patched:
        stop_at(patched, 20)
        with pytest.raises(StoppedError):
            SparseAutoencoder(**OPTIONS).fit(vectors, checkpoint=place)
    with pytest.raises(ArtifactError, match="another run: its parameters differ"):
        SparseAutoencoder(**{**OPTIONS, "learning_rate": 0.001}).fit(vectors, checkpoint=place)
    with pytest.raises(ArtifactError, match="another run: its data differ"):
        SparseAutoencoder(**OPTIONS).fit(vectors + 1e-3, checkpoint=place)
    (place / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        SparseAutoencoder(**OPTIONS).fit(vectors, checkpoint=place)


PROGRAM = """
import json, sys
import numpy as np
from sememe.atoms import SparseAutoencoder, checkpoint
checkpoint.SECONDS = 0.0
options, vectors, place, out = json.loads(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3], sys.argv[4]
print("started", flush=True)
np.save(out, SparseAutoencoder(**options).fit(vectors, checkpoint=place).weights_.decoder)
"""


@pytest.mark.slow
def test_killed_at_twenty_random_moments(vectors, tmp_path):
    options = {**OPTIONS, "steps": 3000}
    np.save(tmp_path / "x.npy", vectors)
    expected = SparseAutoencoder(**options).fit(vectors).weights_.decoder
    arguments = [json.dumps(options), tmp_path / "x.npy", tmp_path / "c", tmp_path / "out.npy"]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng, killed = np.random.default_rng(0), 0
    for _ in range(20):
        run = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(rng.uniform(0, 2.0))
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            killed += 1
        run.wait()
        run.stdout.close()
        if (tmp_path / "out.npy").exists():
            break
    assert killed >= 5
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)

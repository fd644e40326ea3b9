"""An index on a real Milvus server, started and stopped here in a network namespace that has only `lo`.

The server listens on all interfaces, so it is never started where it could be reached. `SEMEME_MILVUS_SERVER_PYTHON`
names the Python of an environment in which `pip install milvus==2.3.5` was run.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NAMESPACE = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def missing() -> str | None:
    """What keeps the server from being started, in words."""
    if importlib.util.find_spec("pymilvus") is None:
        return "needs pymilvus: pip install 'sememe[milvus]'"
    if not os.environ.get("SEMEME_MILVUS_SERVER_PYTHON"):
        return "needs SEMEME_MILVUS_SERVER_PYTHON, the Python of an environment with milvus==2.3.5"
    if shutil.which("unshare") is None:
        return "needs the command unshare (util-linux), to keep the server off the network"
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        return "needs permission for a network namespace (unshare --net --pid): the server listens on all interfaces"
    return None


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("server")
    command = [*NAMESPACE, sys.executable, str(HERE / "milvus_namespace.py"), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=850)
    assert ended.returncode == 0, ended.stderr[-6000:]
    print(ended.stderr)
    return json.loads(ended.stdout.splitlines()[-1]), folder


def checks() -> list[str]:
    if importlib.util.find_spec("pymilvus") is None:
        return ["anything"]
    from milvus_contract import SERVER_CHECKS

    return [check.__name__ for check in SERVER_CHECKS]


@pytest.mark.parametrize("check", checks())
def test_a_real_server(check, outcome):
    results, _ = outcome
    assert results[check] == "passed", results[check]


def test_the_server_reaches_no_network(outcome):
    results, _ = outcome
    assert results["interfaces"] == ["lo"]


def test_a_server_that_went_away_is_an_error_within_the_time(outcome):
    results, _ = outcome
    assert "does not answer within 2 s" in results["after_stop"]
    assert results["after_stop_seconds"] < 20


def test_a_collection_survives_a_restart(outcome):
    results, _ = outcome
    assert results["after_restart"] is True


def test_no_process_of_the_server_is_left(outcome):
    results, folder = outcome
    assert results["gone"] is True
    assert results["gone_again"] is True
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it has just ended
            continue
        if str(folder).encode() in command:
            left.append(command)
    assert left == []

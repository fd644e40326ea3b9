"""Run inside a network namespace of its own: start a real Milvus server, run every check against it, stop it.

    python milvus_namespace.py FOLDER        (SEMEME_MILVUS_SERVER_PYTHON names the Python that has `milvus`)

Prints one JSON object: for each check `passed` or what went wrong, and what became of the server.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "src")]

from milvus_contract import QUERIES, SERVER_CHECKS, answers, both  # noqa: E402
from test_index import make_documents  # noqa: E402

from hash_encoder import HashEncoder  # noqa: E402
from sememe.errors import RemoteError, SememeError  # noqa: E402
from sememe.search.milvus import MilvusIndex  # noqa: E402

READY_WITHIN = 240
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1


class Server:
    """A Milvus server in a child process."""

    def __init__(self, folder: Path) -> None:
        python = os.environ["SEMEME_MILVUS_SERVER_PYTHON"]
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [python, str(HERE / "milvus_serve.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {self._process.wait()}")
        port, self.pid = map(int, line.split())
        self.uri = f"http://127.0.0.1:{port}"
        self._wait_for_a_real_answer(started + READY_WITHIN)
        self.ready_seconds = time.perf_counter() - started

    def stop(self) -> bool:
        """Stop it; whether both processes are gone."""
        said, _ = self._process.communicate("", timeout=60)
        return "stopped" in said and self._process.poll() == 0 and not Path(f"/proc/{self.pid}").exists()

    def _wait_for_a_real_answer(self, until: float) -> None:
        # A server may say that it has started and refuse connections.
        while True:
            try:
                MilvusIndex.open(self.uri, "nothing", timeout=5)
            except RemoteError:
                if time.perf_counter() > until:
                    raise
            except SememeError:  # there is no such collection: it answers
                return


def up() -> None:
    """Bring the loopback device of this namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def main(folder: Path) -> None:
    up()
    interfaces = sorted(name for _, name in socket.if_nameindex())
    results: dict[str, object] = {"interfaces": interfaces}
    server = Server(folder / "server")
    results["ready_seconds"] = server.ready_seconds
    try:
        for check in SERVER_CHECKS:
            place = folder / check.__name__
            place.mkdir()
            started = time.perf_counter()
            try:
                check(server.uri, place)
                outcome = "passed"
            except BaseException:
                outcome = traceback.format_exc()[-6000:]
            results[check.__name__] = outcome
            print(f"{check.__name__}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
        index, remote = both(server.uri, folder, "kept", make_documents(300))
        before = [answers(remote, query) for query in QUERIES]
    finally:
        results["gone"] = server.stop()
    started = time.perf_counter()
    try:
        remote._connection._timeout = 2
        remote.search("red cat")
        results["after_stop"] = "it answered"
    except RemoteError as error:
        results["after_stop"] = f"{error}"
        results["after_stop_seconds"] = time.perf_counter() - started
    remote.close()
    index.close()
    server = Server(folder / "server")
    try:
        with MilvusIndex.open(server.uri, "kept", encoder=HashEncoder()) as again:
            results["after_restart"] = [answers(again, query) for query in QUERIES] == before
    finally:
        results["gone_again"] = server.stop()
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

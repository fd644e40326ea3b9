"""Serving the page: open the index, bind the address, answer until interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from sememe.atoms import Atoms
from sememe.atoms.study import Study
from sememe.circuits.circuit import Circuit
from sememe.errors import InputError
from sememe.papers.collection import PaperCollection
from sememe.search import Index
from sememe.search.manifest import is_multi_vector
from sememe.training.runs import TrainingRun
from sememe.web.access import check_exposure
from sememe.web.app import create_app, create_circuit_app, create_papers_app, create_study_app, create_training_app
from sememe.web.hosts import url_host
from sememe.web.papers_desk import PapersDesk, is_feed
from sememe.web.patience import PatientProtocol

MAX_CONNECTIONS = 512
KEEP_ALIVE_SECONDS = 15
SHUTDOWN_SECONDS = 3


def serve(
    index_path: str | Path,
    atoms_path: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    token: str | None = None,
    *,
    announce: Callable[[str], object] | None = None,
) -> None:
    """Serve the page on what was made here, such as an index or a feed of papers, until the process is interrupted.

    Args:
        index_path: the folder of an index, of a study (`sememe atoms learn MODEL --sites ...`), of a circuit
            (`sememe circuits find ... --out`), of papers, or of an encoder that was or is being trained.
        atoms_path: the folder of atoms; those inside the index when left out, none if there are none.
        host: the address to listen on. One that other machines can reach needs a token.
        port: 0 chooses a free one.
        token: what a visitor must know, at least 16 characters.
        announce: called with the page's address when it can be opened.

    Raises:
        InputError: the address cannot be used, or needs a token.
        ArtifactError: the index or the atoms cannot be opened.
    """
    check_exposure(host, token)
    listener = _listen(host, port)
    with listener, ExitStack() as stack:
        real_port = listener.getsockname()[1]
        app = _opened(Path(index_path), atoms_path, stack, token=token, host=host, port=real_port)
        if announce is not None:
            announce(f"http://{url_host(host)}:{real_port}/")
        uvicorn.Server(server_config(app)).run(sockets=[listener])


def _opened(path: Path, atoms_path: str | Path | None, stack: ExitStack, **address: Any) -> FastAPI:
    """The application on whatever a folder holds; what must be closed afterwards is put on the stack."""
    if TrainingRun.is_run(path):
        return create_training_app(path, **address)
    if is_feed(path):
        desk = PapersDesk(stack.enter_context(PaperCollection.open(path)))
        desk.catch_up()
        desk.warm_up()
        stack.enter_context(desk.following())
        return create_papers_app(desk, **address)
    if Circuit.is_circuit(path):
        return create_circuit_app(Circuit.load(path), **address)
    if Index.is_index(path) or is_multi_vector(path) or not path.is_dir():
        index = stack.enter_context(Index.open(path))
        return create_app(index, _load_atoms(index, atoms_path), **address)
    return create_study_app(Study.open(path), **address)


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the application is served: time limits, no header that names the server, no trust in proxies."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _load_atoms(index: Index, path: str | Path | None) -> Atoms | None:
    if path is None and not index.atoms_path.exists():
        return None
    place = index.atoms_path if path is None else Path(path)
    atoms = Atoms.load(place)
    if "r2" not in atoms.card:
        raise InputError(
            "these atoms were imported and never measured",
            where=str(place),
            hint="Import them again with --bank, naming the index",
        )
    return atoms


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(
            f"cannot listen there: {error}",
            where=f"{host}:{port}",
            hint="Choose another --port, or --port 0 for a free one",
        ) from error
    return listener

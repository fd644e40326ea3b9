"""Putting the page together: collection, templates, routes, and the guard in front of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import sememe
from sememe.atoms import Atoms
from sememe.atoms.study import Study
from sememe.circuits.circuit import Circuit
from sememe.errors import SememeError
from sememe.search import Index
from sememe.web.access import Access, check_exposure
from sememe.web.api import api_routes
from sememe.web.circuit_pages import circuit_routes
from sememe.web.collection import Collection
from sememe.web.failures import FailurePages
from sememe.web.form_keys import FormKeys
from sememe.web.guard import Guard
from sememe.web.hosts import Hosts
from sememe.web.pages import page_routes
from sememe.web.papers_changes import change_routes
from sememe.web.papers_desk import PapersDesk
from sememe.web.papers_feeds import feed_routes
from sememe.web.papers_map import map_routes
from sememe.web.papers_pages import paper_routes, shared_names
from sememe.web.papers_settings import setting_routes
from sememe.web.rendering import Renderer
from sememe.web.static_files import StaticFiles
from sememe.web.study_pages import study_routes
from sememe.web.training_pages import training_routes


def create_app(
    index: Index, atoms: Atoms | None, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765
) -> FastAPI:
    """The page on an index, as an ASGI application.

    Args:
        index: open for reading; what is added later is not seen.
        atoms: learned on this index, or None: then scores are not explained.
        token: what a visitor must know, at least 16 characters.
        host: the address it will be served on. One that other machines can reach needs a token.
        port: the port; requests that name another one in their Host header are refused.

    Raises:
        InputError: the address needs a token, the token is too short, or the atoms are of another width.
    """
    check_exposure(host, token)
    collection = Collection(index, atoms)
    renderer = Renderer(
        navigation=[("/", "Search"), ("/atoms", "Atoms"), ("/atlas", "Atlas"), ("/collection", "Collection")],
        book=collection.book,
        n_documents=collection.info["documents"],
        filter_example=collection.filter_example(),
        version=sememe.__version__,
    )
    app = _assemble(renderer, page_routes(collection, renderer), api_routes(collection), address=(host, port, token))
    collection.warm_up()
    return app


def create_study_app(study: Study, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765) -> FastAPI:
    """The page on the atoms of a language model's sites, as an ASGI application; arguments as `create_app`.

    Raises:
        InputError: the address needs a token, or the token is too short.
        ArtifactError: atoms of the study are damaged.
    """
    check_exposure(host, token)
    renderer = Renderer(navigation=[("/", "Model")], version=sememe.__version__)
    return _assemble(renderer, study_routes(study, renderer), address=(host, port, token))


def create_training_app(path: Path, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765) -> FastAPI:
    """The page of a training run, as an ASGI application; `path` as `TrainingRun.read`, the rest as `create_app`.

    Raises:
        InputError: the address needs a token, or the token is too short.
    """
    check_exposure(host, token)
    renderer = Renderer(navigation=[("/", "Training")], version=sememe.__version__)
    return _assemble(renderer, training_routes(path, renderer), address=(host, port, token))


def create_circuit_app(
    circuit: Circuit, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765
) -> FastAPI:
    """The page on a circuit, as an ASGI application; arguments as `create_app`.

    Raises:
        InputError: the address needs a token, or the token is too short.
    """
    check_exposure(host, token)
    renderer = Renderer(navigation=[("/", "Circuit")], version=sememe.__version__)
    return _assemble(renderer, circuit_routes(circuit, renderer), address=(host, port, token))


def create_papers_app(
    desk: PapersDesk, *, token: str | None = None, host: str = "127.0.0.1", port: int = 8765
) -> FastAPI:
    """The pages of a feed folder, as an ASGI application; other arguments as `create_app`.

    Raises:
        InputError: the address needs a token, or the token is too short.
    """
    check_exposure(host, token)
    keys = FormKeys()
    renderer = Renderer(version=sememe.__version__, **shared_names())
    return _assemble(
        renderer,
        paper_routes(desk, renderer, keys),
        setting_routes(desk, renderer, keys),
        change_routes(desk, renderer, keys),
        map_routes(desk, renderer),
        feed_routes(desk),
        address=(host, port, token),
    )


def _assemble(renderer: Renderer, *routes: APIRouter, address: tuple[str, int, str | None]) -> FastAPI:
    """Routes with static files, a login if there is a token, error pages, and the guard in front of all."""
    host, port, token = address
    failures = FailurePages(renderer)
    access = Access(token, port, renderer, failures) if token is not None else None
    # The documentation pages of FastAPI load scripts from elsewhere; redirects of its own trust the Host header.
    app = FastAPI(title="Sememe", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    for part in routes:
        app.include_router(part)
    _add_static_files(app)
    if access is not None:
        _add_login(app, access)
    _add_error_pages(app, failures)
    app.add_middleware(Guard, hosts=Hosts(host, port), access=access, failures=failures)
    return app


def _add_static_files(app: FastAPI) -> None:
    static = StaticFiles()

    @app.get("/static/{name}")
    def file(name: str, request: Request) -> Response:
        response = static.response(name, request.headers.get("if-none-match"))
        if response is None:
            raise HTTPException(404, "there is no such file")
        return response


def _add_login(app: FastAPI, access: Access) -> None:
    @app.get("/login")
    def form(request: Request) -> Response:
        return access.form(token=request.query_params.get("token", ""))

    @app.post("/login")
    async def login(request: Request) -> Response:
        return access.login(await request.body())


def _add_error_pages(app: FastAPI, failures: FailurePages) -> None:
    def sememe_error(request: Request, error: Any) -> Response:
        return failures.of(request.scope["path"], error)

    def http_error(request: Request, error: Any) -> Response:
        message = _MESSAGES.get(error.detail, error.detail)
        response = failures.page(request.scope["path"], error.status_code, message, hint=_HINTS.get(error.status_code))
        response.headers.update(error.headers or {})
        return response

    def bad_address(request: Request, _: Any) -> Response:
        return failures.page(request.scope["path"], 404, "there is no such page", hint=_HINTS[404])

    app.add_exception_handler(SememeError, sememe_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, bad_address)


# The framework's own words, and ours.
_MESSAGES = {"Not Found": "there is no such page", "Method Not Allowed": "only reading and searching are possible here"}
_HINTS = {404: "Search for it, or begin at the first page"}

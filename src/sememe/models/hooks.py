"""Reading and replacing what passes a site, with hooks that are always taken off again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sememe.errors import InputError
from sememe.models.sites import Site


class _EverythingSeenError(Exception):
    """Ends a forward pass once the last wanted site has been seen."""


def read_sites(run: Callable[[], Any], sites: Sequence[Site]) -> dict[str, Any]:
    """Run a forward pass up to the last of `sites`, and no further.

    Args:
        run: the forward pass.
        sites: what to read.

    Returns:
        Each site's tensor, by name.

    """
    seen: dict[str, Any] = {}

    def look(site: Site, tensor: Any) -> None:
        seen[site.name] = tensor
        if len(seen) == len(sites):
            raise _EverythingSeenError

    handles = [_attach(site, look) for site in sites]
    try:
        run()
    except _EverythingSeenError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return seen


@contextmanager
def replace_site(site: Site, function: Callable[[Any], Any]) -> Iterator[None]:
    """While it is open, what passes `site` is `function` of what the model computed.

    Raises:
        InputError: the function gave something else than a tensor of the same shape.

    """

    def swap(site: Site, tensor: Any) -> Any:
        new = function(tensor)
        shape = tuple(getattr(new, "shape", ()))
        if shape != tuple(tensor.shape):
            raise InputError(
                f"the function gave {type(new).__name__} of shape {shape}, not {tuple(tensor.shape)}", where=site.name
            )
        return new

    handle = _attach(site, swap)
    try:
        yield
    finally:
        handle.remove()


def _attach(site: Site, visit: Callable[[Site, Any], Any]) -> Any:
    """Call `visit` with the tensor at `site`; what it returns, unless None, replaces the tensor.

    Only for what this thread computes: another one may be running the same model.
    """
    owner = threading.get_ident()

    def visit_own(site: Site, tensor: Any) -> Any:
        return visit(site, tensor) if threading.get_ident() == owner else None

    if site.reads_input:
        return site.module.register_forward_pre_hook(
            lambda _module, inputs, named: _before(site, visit_own, inputs, named), with_kwargs=True
        )
    return site.module.register_forward_hook(lambda _module, _inputs, output: _after(site, visit_own, output))


def _before(site: Site, visit: Callable[[Site, Any], Any], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if inputs:
        new = visit(site, inputs[0])
        return None if new is None else ((new, *inputs[1:]), named)
    # Some blocks are called with the states as a keyword.
    new = visit(site, named["hidden_states"])
    return None if new is None else (inputs, {**named, "hidden_states": new})


def _after(site: Site, visit: Callable[[Site, Any], Any], output: Any) -> Any:
    if not isinstance(output, tuple):
        return visit(site, output)
    new = visit(site, output[0])
    return None if new is None else (new, *output[1:])

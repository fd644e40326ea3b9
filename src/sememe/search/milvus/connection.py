"""One collection on one server, through pymilvus; every failure becomes one of our errors."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from sememe.errors import InputError, MissingExtraError, RemoteError
from sememe.extras import require
from sememe.search.milvus.address import Address

TOKEN = "SEMEME_MILVUS_TOKEN"  # noqa: S105  the name of a variable
TIMEOUT = 30.0
CONNECT_WITHIN = 10.0
PATIENCE = 20
"""How many times longer may be waited for what takes time in proportion to the collection."""
CONSISTENCY = "Session"
"""A process sees what it has written at once, and what others write within a moment. "Strong" waits 0.2 s a query."""
MOST_ROWS = 16_384
"""That a server returns for one query, in every version."""
ATTEMPTS = 3
PAUSE = 0.5
PAGE = 1_000
SETTLING = 10.0
"""Seconds for which reads are "Strong" after a delete: Milvus 2.3 does not tell when it took place, so that a session
cannot wait for it. Servers lag by at most 5 s."""
_BM25_SINCE = (2, 5)

Result = TypeVar("Result")
Rows = list[dict[str, Any]]


class NoAnswerError(RemoteError):
    """The server was not reached, or did not answer in time; whether it did what was asked is not known."""


class Connection:
    """What the adapter asks of a server.

    Raises:
        MissingExtraError: pymilvus, or for a local file milvus-lite, is not installed.
        RemoteError: the server cannot be reached.

    """

    def __init__(self, address: Address, *, token: str | None = None, timeout: float = TIMEOUT) -> None:
        if timeout <= 0:
            raise InputError(f"timeout must be above 0, not {timeout}")
        self.address, self._timeout = address, min(timeout, CONNECT_WITHIN)
        self._strong_until = 0.0
        # gRPC writes to standard error what its connections go through, and is silent only when told before it starts.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        self._pymilvus = require("pymilvus", "milvus")
        # It logs every failure with a traceback, and we raise each with its text.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)
        if address.is_file:
            _require_lite()
        self._client = self._called(
            self._pymilvus.MilvusClient,
            uri=address.uri,
            token=token if token is not None else os.environ.get(TOKEN, ""),
        )
        self._timeout = timeout

    # ── the collection ───────────────────────────────────────────────────────────────────────────────────────

    def version(self) -> str:
        """What the server calls itself."""
        return str(self._called(self._client.get_server_version))

    def has_bm25(self) -> bool:
        """Whether the server can search by words."""
        version = self.version()
        number = re.search(r"(\d+)\.(\d+)", version)
        return version.startswith("milvus_lite") or (
            number is not None and (int(number[1]), int(number[2])) >= _BM25_SINCE
        )

    def exists(self) -> bool:
        """Whether the server has the collection."""
        return bool(self._called(self._client.has_collection, self._name))

    def properties(self) -> dict[str, str]:
        """The texts that the collection was made with."""
        return dict(self._called(self._client.describe_collection, self._name).get("properties") or {})

    def create(self, schema: Any, indexes: Any, *, shards: int, properties: Mapping[str, str]) -> None:
        """Make the collection with its indexes and properties, and load it."""
        settings = {"num_shards": shards, "consistency_level": CONSISTENCY, "properties": dict(properties)}
        self._called(self._client.create_collection, self._name, schema=schema, index_params=indexes, **settings)

    def load(self) -> None:
        """Make the collection searchable, if it is not."""
        self._repeated(self._client.load_collection, self._name, timeout=PATIENCE * self._timeout)

    def has_partition(self, name: str) -> bool:
        """Whether the collection has a partition of this name."""
        return bool(self._called(self._client.has_partition, self._name, name))

    def make_partition(self, name: str) -> None:
        """Add an empty partition."""
        self._called(self._client.create_partition, self._name, name)

    def drop(self) -> None:
        """Delete the collection."""
        self._called(self._client.drop_collection, self._name)

    def flush(self) -> None:
        """Have the server write everything out and index it."""
        self._repeated(self._client.flush, self._name, timeout=PATIENCE * self._timeout)

    @property
    def pymilvus(self) -> Any:
        """The client library, whose schema classes are needed to make a collection."""
        return self._pymilvus

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────

    def upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows; those with a key that is there replace it, so that writing again after a failure does no harm."""
        self._repeated(self._client.upsert, self._name, list(rows))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete rows by their keys; those that are not there are passed over."""
        for start in range(0, len(keys), PAGE):
            self._repeated(self._client.delete, self._name, ids=list(keys[start : start + PAGE]))
            self._strong_until = time.monotonic() + SETTLING

    def get(self, keys: Sequence[str], fields: Sequence[str]) -> Rows:
        """The rows with these keys that there are, in no order."""
        found: Rows = []
        for start in range(0, len(keys), PAGE):
            page = list(keys[start : start + PAGE])
            found += self._read(self._client.get, ids=page, output_fields=list(fields))
        return found

    def count(self, expression: str) -> int:
        """How many rows an expression selects."""
        counted = self._read(self._client.query, filter=expression, output_fields=["count(*)"])
        return int(counted[0]["count(*)"])

    def select(self, expression: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows that an expression selects, in the order of their keys, fetched in pages."""
        pages = self._read(self._client.query_iterator, filter=expression, output_fields=list(fields), batch_size=PAGE)
        try:
            while page := self._answered(pages.next, self._timeout):
                yield from page
        finally:
            pages.close()

    def nearest(
        self,
        field: str,
        queries: Sequence[np.ndarray] | Sequence[str],
        limit: int,
        *,
        expression: str,
        fields: Sequence[str],
        parameters: Mapping[str, Any],
    ) -> list[list[tuple[dict[str, Any], float]]]:
        """For each query the rows whose `field` scores highest, with the server's scores, the best first."""
        answers = self._read(
            self._client.search,
            data=list(queries),
            anns_field=field,
            limit=limit,
            filter=expression,
            output_fields=list(fields),
            search_params=dict(parameters),
        )
        return [[(dict(hit["entity"]), float(hit["distance"])) for hit in of_query] for of_query in answers]

    # ── private ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _name(self) -> str:
        return self.address.collection

    def _called(self, method: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        options = {"timeout": self._timeout, **options}
        return self._answered(lambda: method(*arguments, **options), options["timeout"])

    def _read(self, method: Callable[..., Result], **options: Any) -> Result:
        level = "Strong" if time.monotonic() < self._strong_until else CONSISTENCY
        return self._called(method, self._name, consistency_level=level, **options)

    def _repeated(self, method: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Call what may be called twice; again when there was no answer."""
        for attempt in range(1, ATTEMPTS):
            try:
                return self._called(method, *arguments, **options)
            except NoAnswerError:
                time.sleep(PAUSE * attempt)
        return self._called(method, *arguments, **options)

    def _answered(self, call: Callable[[], Result], seconds: float) -> Result:
        try:
            return call()
        except Exception as error:
            if not self._is_theirs(error):
                raise
            raise self._translated(error, seconds) from error

    def _is_theirs(self, error: Exception) -> bool:
        import grpc

        return isinstance(error, (self._pymilvus.MilvusException, grpc.RpcError, grpc.FutureTimeoutError))

    def _translated(self, error: Exception, seconds: float) -> RemoteError:
        if _no_answer(error):
            return NoAnswerError(
                f"does not answer within {seconds:g} s",
                where=self.address.uri,
                hint="Check that the server runs and can be reached, or allow more time with a larger timeout",
            )
        text = getattr(error, "message", None) or (error.details() if hasattr(error, "details") else str(error))
        return RemoteError(f"refused: {' '.join(str(text).split())[:500]}", where=str(self.address))


def _no_answer(error: Exception) -> bool:
    import grpc

    if isinstance(error, grpc.FutureTimeoutError):
        return True
    if isinstance(error, grpc.RpcError):
        return error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    text = str(error)
    return type(error).__name__ in ("ConnectError", "MilvusUnavailableException") or any(
        sign in text for sign in ("Fail connecting", "Retry timeout", "Retry run out", "StatusCode.UNAVAILABLE")
    )


def _require_lite() -> None:
    try:
        import milvus_lite  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError(
            "a local .db file needs the package 'milvus_lite', which is not installed",
            hint="Install it with: pip install milvus-lite",
        ) from None

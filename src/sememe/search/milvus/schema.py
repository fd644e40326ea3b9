"""What a collection on a server looks like, and the card that it carries among its properties."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sememe.errors import ArtifactError
from sememe.search.milvus.config import MilvusConfig
from sememe.search.milvus.connection import Connection
from sememe.search.milvus.expressions import FIELDS, SHAPES
from sememe.search.milvus.rows import (
    DENSE,
    DIGEST,
    DOCUMENT,
    END,
    KEY,
    METADATA,
    MOST_BYTES,
    ORDER,
    PIECE,
    START,
    TITLE,
    WINDOW,
    WINDOWS,
    WORDS,
)
from sememe.version import __version__

KIND = "milvus-collection"
FORMAT_VERSION = 1
BM25 = "bm25"
"""The sparse field that the server makes of the words."""
K1, B = 1.5, 0.75
"""As in the lexical part of an index on disk."""
CARD = "sememe.card"
"""A property of the collection; milvus-lite keeps no description."""
COMPLETE = "complete"
"""An empty partition that stands for the end of a build: Milvus 2.3 forgets later properties when it restarts."""


@dataclass(frozen=True)
class Card:
    """What a collection is made of.

    Attributes:
        encoder: `name`, `fingerprint`, `dimensions` and `normalizes` of the encoder.
        corpus: what it was made from.
        config: its settings.
        precision: how its vectors were stored where they came from: `float32`, `float16` or `int8`.
        lexical: whether the server searches it by words.

    """

    encoder: Mapping[str, Any]
    corpus: str
    config: MilvusConfig
    precision: str
    lexical: bool

    def dump(self) -> str:
        """The text that the collection carries."""
        header = {"kind": KIND, "format_version": FORMAT_VERSION, "sememe_version": __version__}
        return json.dumps({**header, **asdict(self), "encoder": dict(self.encoder)}, sort_keys=True)

    def differences(self, wanted: Card) -> list[str]:
        """What keeps documents of `wanted` from being added to this collection, in words."""
        pairs = [
            ("encoder", self.encoder["name"], wanted.encoder["name"]),
            ("the encoder's fingerprint", self.encoder["fingerprint"], wanted.encoder["fingerprint"]),
            ("dimensions", self.encoder["dimensions"], wanted.encoder["dimensions"]),
            ("precision", self.precision, wanted.precision),
            ("settings", asdict(self.config), asdict(wanted.config)),
        ]
        return [f"{name} was {old!r} and is now {new!r}" for name, old, new in pairs if old != new]


def read_card(connection: Connection) -> Card:
    """The card of a collection.

    Raises:
        ArtifactError: there is no such collection, something else made it, or a newer version did.

    """
    where = str(connection.address)
    if not connection.exists():
        raise ArtifactError(
            "does not exist", where=where, hint="Make it with: sememe index push IDX --to URI --collection NAME"
        )
    try:
        card = json.loads(connection.properties().get(CARD, ""))
    except ValueError:
        card = None
    if not isinstance(card, dict) or card.get("kind") != KIND:
        raise ArtifactError("was not made by Sememe: it carries no card", where=where, hint="Choose another name")
    if not isinstance(card.get("format_version"), int) or card["format_version"] > FORMAT_VERSION:
        raise ArtifactError(
            f"has format version {card.get('format_version')}; this Sememe ({__version__}) reads up to "
            f"{FORMAT_VERSION}",
            where=where,
            hint="Install a newer Sememe",
        )
    config = MilvusConfig(**card["config"])
    return Card(card["encoder"], card["corpus"], config, card["precision"], card["lexical"])


def create(connection: Connection, card: Card) -> None:
    """Make an empty collection."""
    milvus = connection.pymilvus
    types, config = milvus.DataType, card.config
    schema = milvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description="Made by Sememe")
    schema.add_field(KEY, types.VARCHAR, is_primary=True, max_length=64)
    schema.add_field(DENSE, types.FLOAT_VECTOR, dim=card.encoder["dimensions"])
    for number in (ORDER, WINDOW, WINDOWS, START, END):
        schema.add_field(number, types.INT64)
    for text in (DOCUMENT, TITLE, PIECE, METADATA):
        schema.add_field(text, types.VARCHAR, max_length=MOST_BYTES)
    schema.add_field(DIGEST, types.VARCHAR, max_length=64)
    for structure in (FIELDS, SHAPES):
        schema.add_field(structure, types.JSON)
    indexes = milvus.MilvusClient.prepare_index_params()
    indexes.add_index(DENSE, index_type=config.index, metric_type="IP", params=config.build_parameters())
    if card.lexical:
        _add_words(milvus, schema, indexes)
    connection.create(schema, indexes, shards=config.shards, properties={CARD: card.dump()})


def is_complete(connection: Connection) -> bool:
    """Whether what made the collection reached the end of its documents."""
    return connection.has_partition(COMPLETE)


def mark_complete(connection: Connection) -> None:
    """Record that all documents are there."""
    if not is_complete(connection):
        connection.make_partition(COMPLETE)


def _add_words(milvus: Any, schema: Any, indexes: Any) -> None:
    # The words are stems already; the server only cuts at spaces.
    schema.add_field(
        WORDS,
        milvus.DataType.VARCHAR,
        max_length=MOST_BYTES,
        enable_analyzer=True,
        analyzer_params={"tokenizer": "standard"},
    )
    schema.add_field(BM25, milvus.DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        milvus.Function(
            name=BM25,
            function_type=milvus.FunctionType.BM25,
            input_field_names=[WORDS],
            output_field_names=[BM25],
        )
    )
    parameters = {"bm25_k1": K1, "bm25_b": B}
    indexes.add_index(BM25, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=parameters)

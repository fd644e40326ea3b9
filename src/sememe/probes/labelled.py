"""Texts with known features: a table with one column a feature, read like any corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sememe.corpus import read
from sememe.errors import InputError

Kind = Literal["binary", "categorical", "numeric"]
MOST_LEVELS = 20
LENGTH = "length"
_YES, _NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")


@dataclass(frozen=True, eq=False)
class Feature:
    """One feature of n texts.

    Attributes:
        name: of the column.
        kind: `binary` and `categorical` features are indicators of their levels, `numeric` ones their numbers.
        labels: what a probe decodes (n,): levels, or whether a number is above the median.
        matrix: what predicts representations (n, k), float64; one column less than levels.
        levels: how many different values there are.
    """

    name: str
    kind: Kind
    labels: np.ndarray
    matrix: np.ndarray
    levels: int


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts and their features.

    Attributes:
        ids: of the records.
        texts: what encoders read.
        features: in the order of the columns, and the length of the text last.
        left_out: column -> why it is no feature.
        name: of the source.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    features: Sequence[Feature]
    left_out: Mapping[str, str]
    name: str

    def __len__(self) -> int:
        return len(self.ids)


def read_labelled(source: str | Path, columns: Sequence[str] = (), **options: Any) -> LabelledTexts:
    """Read a table of texts and features: JSON lines, CSV, TSV or Parquet.

    Every field that is not id, title or text is a feature: with two values binary, with numbers numeric, with up to 20
    values categorical. Others are left out, unless they are asked for. The length of the text in words is added.

    Args:
        source: the file.
        columns: the features to use; all if empty.
        options: of `sememe.read`, such as `text_field`.

    Raises:
        InputError: a record is bad, a feature is missing in one, is constant or has too many values, or there is none.
    """
    documents = list(read(source, **options))
    names = list(columns) or list(dict.fromkeys(name for document in documents for name in document.metadata))
    features, left_out = [], {}
    for name in names:
        values = []
        for document in documents:
            value = document.metadata.get(name)
            if value is None or value == "":
                there = ", ".join(map(repr, document.metadata)) or "no features"
                hint = f"Found {there}; name those to use with --columns"
                raise InputError(f"has no value for {name!r}", where=f"{source}, record {document.id!r}", hint=hint)
            values.append(value)
        try:
            features.append(as_feature(name, values))
        except InputError as error:
            if columns:
                raise
            left_out[name] = error.message
    if not features:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"has no features ({reasons or 'no column beside the text'})", where=str(source))
    texts = [document.content for document in documents]
    if LENGTH not in names:
        features += _length(texts)
    return LabelledTexts([document.id for document in documents], texts, features, left_out, Path(str(source)).name)


def unlabelled(ids: Sequence[str], texts: Sequence[str], name: str) -> LabelledTexts:
    """Texts of which nothing is known but their length."""
    return LabelledTexts(list(ids), list(texts), _length(texts), {}, name)


def _length(texts: Sequence[str]) -> list[Feature]:
    """The logarithm of one plus the number of words, unless all texts have as many."""
    lengths = [float(np.log1p(len(text.split()))) for text in texts]
    return [as_feature(LENGTH, lengths)] if np.ptp(lengths) > 0 else []


def as_feature(name: str, values: Sequence[Any]) -> Feature:
    """Decide what kind of feature the values of a column are.

    Raises:
        InputError: they are all the same, or too many, or not texts and numbers.
    """
    if any(isinstance(value, list | dict) for value in values):
        raise InputError("holds lists or objects", where=f"feature {name!r}")
    spelled = [str(value).strip() for value in values]
    levels = sorted(set(spelled))
    if len(levels) < 2:
        raise InputError("is always the same", where=f"feature {name!r}", hint="Leave it out with --columns")
    is_yes = np.array([value.lower() in _YES for value in spelled])
    if {value.lower() for value in spelled} <= {*_YES, *_NO} and 0 < is_yes.sum() < len(spelled):
        labels = is_yes.astype(int)
        return Feature(name, "binary", labels, labels[:, None].astype(np.float64), 2)
    numbers = _numbers(spelled)
    if numbers is not None and len(levels) > 2:
        above = (numbers > np.median(numbers)).astype(int)
        return Feature(name, "numeric", above, ((numbers - numbers.mean()) / numbers.std())[:, None], len(levels))
    if len(levels) > MOST_LEVELS:
        hint = f"A feature may have {MOST_LEVELS}"
        raise InputError(f"has {len(levels)} different values", where=f"feature {name!r}", hint=hint)
    places = np.array([levels.index(value) for value in spelled])
    matrix = np.eye(len(levels))[places][:, 1:]
    return Feature(name, "binary" if len(levels) == 2 else "categorical", np.array(spelled), matrix, len(levels))


def _numbers(values: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = np.array([float(value) for value in values])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None

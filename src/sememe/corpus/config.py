"""How a source is read: one place for the library's arguments, the command's flags and the web form."""

from __future__ import annotations

from dataclasses import dataclass, field

from sememe.errors import InputError

ON_ERROR = ("stop", "skip")


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """The options of `read`.

    Raises:
        InputError: a value is not allowed; all such values are named together.
    """

    text_field: str | None = field(
        default=None,
        metadata={"help": "the field that holds the text (default: the first of text, abstract, body, content, ...); "
                  "several, separated by commas, are joined by line breaks"},
    )  # fmt: skip
    title_field: str | None = field(
        default=None, metadata={"help": "the field that holds the title (default: title, headline or heading)"}
    )
    id_field: str | None = field(
        default=None,
        metadata={"help": "the field that holds the id (default: _id, id, doc_id or docid, else a hash of the record)"},
    )
    on_error: str = field(
        default="stop",
        metadata={"help": "what to do with a bad record: stop, or skip it and count it", "choices": ON_ERROR},
    )
    limit: int | None = field(default=None, metadata={"help": "read at most this many documents"})
    encoding: str = field(
        default="utf-8",
        metadata={"help": "the encoding of text files; a byte order mark or an HTML page's own declaration goes first"},
    )
    delimiter: str | None = field(
        default=None, metadata={"help": "what separates the fields of a CSV or TSV file (default: comma, or tab)"}
    )
    quote: str = field(
        default='"', metadata={"help": "what encloses a CSV or TSV field; empty when quotes are plain characters"}
    )

    def __post_init__(self) -> None:
        problems = [problem for problem in (self._bad_limit(), self._bad_encoding(), self._bad_csv()) if problem]
        if self.on_error not in ON_ERROR:
            problems.append(f"on_error is {self.on_error!r}, not one of {', '.join(ON_ERROR)}")
        if problems:
            raise InputError("; ".join(problems))

    def _bad_limit(self) -> str:
        return f"limit is {self.limit}, which is below 1" if self.limit is not None and self.limit < 1 else ""

    def _bad_encoding(self) -> str:
        try:
            " ".encode(self.encoding)
        except (LookupError, ValueError):
            return f"encoding is {self.encoding!r}, which is not the name of a text encoding"
        return ""

    def _bad_csv(self) -> str:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '\r\n"'):
            return f"delimiter is {self.delimiter!r}, not one character"
        return f"quote is {self.quote!r}, not one character or empty" if len(self.quote) > 1 else ""

"""Writing a digest as an e-mail: multipart, a text and an HTML page that say the same."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sememe.extras import require
from sememe.papers.paper import Paper
from sememe.papers.safe_text import body_text, header_text, shortened

if TYPE_CHECKING:
    from jinja2 import Environment

NAME = "Sememe papers"
ABSTRACT_CHARACTERS, SHOWN_AUTHORS, TEXT_WIDTH = 600, 6, 76


class _WholeLinks(EmailPolicy):
    """The library would write a long link as an encoded word, which mail programs do not take for a link."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name.lower() == "list-unsubscribe":
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _WholeLinks(linesep="\r\n")


@dataclass(frozen=True)
class DigestEntry:
    """A paper in a digest, and in words why it is there."""

    paper: Paper
    reasons: Sequence[str] = ()


@dataclass(frozen=True)
class Letter:
    """Everything that an e-mail says.

    Attributes:
        digest_id: names the message, the same each time it is made.
        entries: the papers in their order, at least one.
        title: what the papers have in common, such as "Papers of 26 November 2026".
        order: how they were ordered, in words.
        why: for which subscription the e-mail is, in words.
        sender, recipient: addresses, already checked.
        base_url: where the pages of the feed are.
        unsubscribe: the link that ends the subscription.
        written: when.
    """

    digest_id: str
    entries: Sequence[DigestEntry]
    title: str
    order: str
    why: str
    sender: str
    recipient: str
    base_url: str
    unsubscribe: str
    written: datetime.datetime


def write_message(letter: Letter) -> EmailMessage:
    """The e-mail.

    Its unsubscribe headers are those of RFC 2369 and RFC 8058; only links over https are offered as one click by mail
    programs.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = Address(NAME, addr_spec=letter.sender)
    message["To"] = Address(addr_spec=letter.recipient)
    message["Subject"] = subject(letter)
    message["Date"] = format_datetime(letter.written)
    message["Message-ID"] = f"<{letter.digest_id}@{letter.sender.rpartition('@')[2]}>"
    message["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"
    # Quoted-printable keeps lines short and survives servers that take seven bits only.
    message.set_content(text_body(letter), cte="quoted-printable")
    message.add_alternative(html_body(letter), subtype="html", cte="quoted-printable")
    return message


def subject(letter: Letter) -> str:
    """How many papers, and the first one's title."""
    more = len(letter.entries) - 1
    first = header_text(letter.entries[0].paper.title, 120)
    return first if not more else f"{first} and {more} more paper{'s' if more > 1 else ''}"


def text_body(letter: Letter) -> str:
    """The plain text: what a reader without HTML sees."""
    parts = [f"{letter.title}\n{_wrapped(letter.order)}"]
    parts += [_text_entry(place, entry, letter.base_url) for place, entry in enumerate(letter.entries, 1)]
    parts.append(f"-- \n{_wrapped(letter.why)}\nUnsubscribe: {letter.unsubscribe}\n")
    return "\n\n".join(parts)


def html_body(letter: Letter) -> str:
    """The HTML: everything that comes from a paper is escaped, and every style stands in the page itself."""
    shown = [
        {
            "title": body_text(entry.paper.title),
            "facts": facts(entry.paper),
            "abstract": shortened(body_text(entry.paper.abstract), ABSTRACT_CHARACTERS),
            "reasons": [body_text(reason) for reason in entry.reasons],
            "page": page_url(entry.paper, letter.base_url),
            "source": web_link(entry.paper.url),
        }
        for entry in letter.entries
    ]
    return _templates().get_template("digest.html").render(letter=letter, entries=shown)


def facts(paper: Paper) -> list[str]:
    """Authors, date, venue and votes, as far as they are known."""
    found = [authors(paper)]
    if paper.date is not None:
        found.append(f"{paper.date.day} {paper.date:%B %Y}")
    found.append(body_text(paper.venue))
    if paper.votes:
        found.append(f"{paper.votes:,} vote{'s' if paper.votes != 1 else ''}")
    return [fact for fact in found if fact]


def authors(paper: Paper) -> str:
    """The first authors' names and how many more there are; their number where no names are known."""
    if not paper.authors:
        n = paper.n_authors
        return "" if not n else f"{n} author{'s' if n != 1 else ''}"
    names = [body_text(name) for name in paper.authors[:SHOWN_AUTHORS]]
    more = max(len(paper.authors), paper.n_authors or 0) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def page_url(paper: Paper, base_url: str) -> str:
    """The address of a paper's own page."""
    return f"{base_url}/paper/{quote(paper.id, safe='')}"


def web_link(url: str) -> str:
    """A link if it leads to the web and nowhere else, or nothing."""
    fine = url.lower().startswith(("https://", "http://")) and not any(c.isspace() or c in "<>\"'`" for c in url)
    return url if fine and url.isprintable() else ""


def _text_entry(place: int, entry: DigestEntry, base_url: str) -> str:
    paper, indent = entry.paper, " " * 4
    lines = [_wrapped(f"{place:>2}. {body_text(paper.title)}", indent)]
    lines.append(_wrapped(indent + " · ".join(facts(paper)), indent))
    if paper.abstract:
        lines.append(_wrapped(indent + shortened(body_text(paper.abstract), ABSTRACT_CHARACTERS), indent))
    if entry.reasons:
        lines.append(_wrapped(f"{indent}Why: {'; '.join(body_text(reason) for reason in entry.reasons)}", indent))
    lines += [indent + link for link in (web_link(paper.url), page_url(paper, base_url)) if link]
    return "\n".join(line for line in lines if line.strip())


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, TEXT_WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


@cache
def _templates() -> Environment:
    jinja2 = require("jinja2", "papers")
    environment: Environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sememe.papers"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment

"""What a paper is known by, so that a preprint, its next version and the published paper are one paper.

An identity is text: `arxiv:2405.12522`, `doi:10.1000/x`, `acl:2020.acl-main.1`, `openreview:abc`, or `title:` and 16
hexadecimal digits of the SHA-256 of the normalised title. The DOIs that arXiv (10.48550/arXiv...) and the ACL Anthology
(10.18653/v1/...) give out are those identities.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from sememe.errors import InputError
from sememe.papers.paper import Paper

KINDS = ("arxiv", "acl", "doi", "openreview", "title")
"""From the one that says most to the one that says least; a paper without an id of its own is called by the first."""

EXCLUSIVE = ("arxiv", "acl", "doi")
"""Kinds of which a paper has one: two papers that differ in it are two. A resubmission gets a second OpenReview id."""

_ARXIV = re.compile(
    r"(?:(?:https?://)?(?:\w+\.)?arxiv\.org/(?:abs|pdf|html)/|https?://huggingface\.co/papers/|oai:arxiv\.org:|arxiv:\s*)?"
    r"(?P<id>\d{4}\.\d{4,5}|[a-z][a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v(?P<version>[1-9]\d?))?(?:\.pdf)?(?:[?#].*)?",
    re.IGNORECASE,
)
_DOI = re.compile(r"(?:(?:https?://)?(?:dx\.)?doi\.org/|doi:\s*)?(?P<id>10\.\d{4,9}/\S+)", re.IGNORECASE)
_ACL = re.compile(
    r"(?:(?:https?://)?(?:www\.)?aclanthology\.(?:org|info)/(?:papers/|anthology/)?"
    r"|https?://(?:www\.)?aclweb\.org/anthology/|acl:)"
    r"(?P<id>[A-Z]\d{2}-\d{4,5}|\d{4}\.[\w-]+\.\d+)/?(?:\.pdf|\.bib)?",
    re.IGNORECASE,
)
_OPENREVIEW = re.compile(
    r"(?:https?://(?:api2?\.)?openreview\.net/(?:forum|pdf|notes)\?(?:[^#\s]*&)?id=|openreview:)(?P<id>[\w-]{3,64})\S*"
)
_TITLE = re.compile(r"title:(?P<id>[0-9a-f]{16})")
_ARXIV_DOI = re.compile(r"10\.48550/arxiv\.(?P<id>\S+)")
_ACL_DOI = re.compile(r"10\.(?:18653/v1|3115/v1)/(?P<id>[a-z]\d{2}-\d{4,5}|\d{4}\.[\w-]+\.\d+)")

_PAGES = {
    "arxiv": "https://arxiv.org/abs/",
    "acl": "https://aclanthology.org/",
    "doi": "https://doi.org/",
    "openreview": "https://openreview.net/forum?id=",
}

_NOT_LETTERS = re.compile(r"[\W_]+")
_TEX_COMMAND = re.compile(r"\\([A-Za-z]+)\*?")
# fmt: off
_COMMON_TITLES = frozenset({
    "abstract", "acknowledgements", "acknowledgments", "announcement", "appendix", "bookreview",
    "commentary", "conclusion", "contents", "correction", "corrigendum", "editorial", "editorsnote",
    "erratum", "foreword", "index", "introduction", "obituary", "preface", "prefacetothespecialissue",
    "reply", "response", "retraction", "summary", "tableofcontents",
})
# fmt: on
_SHORT_TITLE = 6
"""So few letters and digits may be two papers; then the authors must speak for it."""


def parse_identity(text: str) -> str | None:
    """The identity that an id or an address stands for, without a version; None when it stands for none.

    Knows `2405.12522v2`, `arXiv:2405.12522`, `https://arxiv.org/abs/2405.12522`, DOIs bare, with `doi:` and as
    addresses, ACL Anthology and OpenReview addresses and `acl:`, `openreview:`, `title:`.
    """
    text = text.strip()
    if match := _ARXIV.fullmatch(text):
        return f"arxiv:{match['id'].lower()}"
    if match := _DOI.fullmatch(text):
        return _doi(match["id"])
    if match := _ACL.fullmatch(text):
        return _acl(match["id"])
    if match := _OPENREVIEW.fullmatch(text):
        return f"openreview:{match['id']}"
    return text if _TITLE.fullmatch(text) else None


def meant_identity(text: str) -> str:
    """What an address, an id as another tool writes it, such as `arXiv:2405.12522v2`, or a title stands for."""
    return parse_identity(text) or title_identity(text)


def arxiv_version(text: str) -> int | None:
    """The N of an arXiv id or address that ends in vN."""
    match = _ARXIV.fullmatch(text.strip())
    return int(match["version"]) if match and match["version"] else None


def require_identity(text: str) -> str:
    """As `parse_identity`.

    Raises:
        InputError: it stands for no paper.

    """
    identity = parse_identity(text)
    if identity is None:
        raise InputError(
            f"is not a paper's id: {text[:80]!r}",
            hint="Use arxiv:2405.12522, doi:10.1000/x, acl:2020.acl-main.1, openreview:ID, title:HASH, or an address",
        )
    return identity


def kind_of(identity: str) -> str:
    """Such as `arxiv`."""
    return identity.partition(":")[0]


@lru_cache(maxsize=4096)  # a record's title is asked for several times in a row
def normalised_title(title: str) -> str:
    r"""The letters and digits of a title, without case, accents and TeX: what stays the same between two sources.

    `$\beta^3$-IRT` and `β3-IRT` are the same, so are `Schr\"odinger` and `Schrödinger`.
    """
    spelt = _TEX_COMMAND.sub(_symbol, title)
    folded = unicodedata.normalize("NFKD", spelt).casefold()
    letters = _NOT_LETTERS.sub("", folded)
    return letters or " ".join(title.casefold().split())


def title_identity(title: str, authors: Iterable[str] = ()) -> str:
    """`title:` and 16 hexadecimal digits of SHA-256; with `authors`, that of one of several papers of this title."""
    text = "\n".join([normalised_title(title), *sorted(name_words(authors))])
    return "title:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def said_identities(paper: Paper) -> list[str]:
    """All that a record says it is known by, its address included but not its title, the strongest first."""
    return ranked(parse_identity(text) for text in (paper.id, paper.url, *paper.identities))


def known_identities(paper: Paper) -> list[str]:
    """All that a paper of the store is known by but its title, the strongest first."""
    return ranked((paper.id, *paper.identities))


def ranked(identities: Iterable[str | None]) -> list[str]:
    """Identities without titles and gaps, each once, the strongest first."""
    strong = {identity for identity in identities if identity and kind_of(identity) != "title"}
    return sorted(strong, key=lambda identity: (KINDS.index(kind_of(identity)), identity))


def best_identity(identities: Iterable[str], title: str) -> str:
    """What a paper is called that is known by `identities`."""
    strong = ranked(identities)
    return strong[0] if strong else title_identity(title)


def address_of(identity: str) -> str:
    """Where a paper of that identity can be read; empty for a title."""
    kind, _, name = identity.partition(":")
    return f"{_PAGES[kind]}{name}" if kind in _PAGES else ""


def conflict(some: Iterable[str], others: Iterable[str], kinds: Iterable[str] = EXCLUSIVE) -> bool:
    """Whether two sets of identities cannot be one paper's: both have one of an exclusive kind, and not the same."""
    mine, theirs = _by_kind(some), _by_kind(others)
    return any(kind in mine and kind in theirs and not mine[kind] & theirs[kind] for kind in kinds)


def same_by_title(one: Paper, other: Paper) -> bool:
    """Whether two records with one normalised title are one paper.

    They are not when arXiv, the Anthology or a DOI tell them apart, or when both name authors and no name is in both. A
    title that many papers have, such as "Preface", counts only where a name is in both.
    """
    if conflict(known_identities(one), known_identities(other)):
        return False
    mine, theirs = name_words(one.authors), name_words(other.authors)
    if mine and theirs:
        return bool(mine & theirs)
    title = normalised_title(one.title)
    return len(title) >= _SHORT_TITLE and title not in _COMMON_TITLES


def similar_titles(one: str, other: str) -> bool:
    """Whether two titles share half of the words of the shorter one: a title changed, not another paper.

    A DOI alone is no proof: many BibTeX files give each paper the DOI of its proceedings.
    """
    mine, theirs = _words(one), _words(other)
    return 2 * len(mine & theirs) >= min(len(mine), len(theirs)) or normalised_title(one) == normalised_title(other)


def name_words(authors: Iterable[str]) -> set[str]:
    """The words of two letters or more in authors' names, without case and accents; "Anonymous" is nobody."""
    words = {word for author in authors for word in _words(author) if len(word) > 1}
    return words - {"anonymous", "others", "et", "al"}


def _words(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(character for character in folded if not unicodedata.combining(character))
    return set(re.findall(r"[^\W_]+", kept))


def _by_kind(identities: Iterable[str]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for identity in identities:
        if kind_of(identity) in EXCLUSIVE:
            kinds.setdefault(kind_of(identity), set()).add(identity)
    return kinds


def _doi(text: str) -> str:
    doi = text.lower().rstrip(".,;")
    if match := _ARXIV_DOI.fullmatch(doi):
        inner = _ARXIV.fullmatch(match["id"])
        return f"arxiv:{inner['id']}" if inner else f"doi:{doi}"
    if match := _ACL_DOI.fullmatch(doi):
        return _acl(match["id"])
    return f"doi:{doi}"


def _acl(text: str) -> str:
    # The old style is written with a capital (P19-1001), the new one in small letters.
    return f"acl:{text.upper()}" if text[0].isalpha() else f"acl:{text.lower()}"


def _symbol(match: re.Match[str]) -> str:
    r"""A Greek letter for its TeX command; every other command, such as \emph, is no part of the title."""
    name = match[1]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper()}")
    except KeyError:
        return " "

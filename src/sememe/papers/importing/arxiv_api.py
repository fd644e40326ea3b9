"""The arXiv API, asked through the `arxiv` package: one connection, one request every three seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sememe.corpus.entries import BadRecordError, Problem
from sememe.errors import InputError, RemoteError
from sememe.extras import require
from sememe.papers.identity import parse_identity
from sememe.papers.importing.records import make_paper
from sememe.papers.paper import Paper

API = "https://export.arxiv.org/api/query"
SECONDS_BETWEEN = 3.0
"""arXiv's terms of use: no more than one request every three seconds, on one connection."""
PAGE = 100
MOST = 30_000
"""The most that arXiv gives for one query."""


def arxiv_papers(query: str, limit: int, *, api: str = API) -> Iterator[tuple[int, Paper] | Problem]:
    """What the API answers, the newest submissions first, with their ordinals.

    Args:
        query: a query of the API, such as `cat:cs.CL AND ti:atoms`, or arXiv ids separated by commas.
        limit: how many papers at most.
        api: the address that is asked.

    Raises:
        InputError: the query is empty, or more is asked for than arXiv gives.
        RemoteError: the server cannot be reached, or refuses.
        MissingExtraError: the package is not installed.

    """
    arxiv, requests = require("arxiv", "papers"), require("requests", "papers")
    if not query.strip() or not 1 <= limit <= MOST:
        raise InputError(
            f"cannot ask arXiv for {limit:,} papers about {query.strip()!r}",
            hint=f"Write it like 'arxiv:cat:cs.CL AND ti:atoms', with --limit up to {MOST:,}",
        )
    client = arxiv.Client(page_size=min(PAGE, limit), delay_seconds=SECONDS_BETWEEN, num_retries=2)
    client.query_url_format = api + "?{}"
    try:
        for number, result in enumerate(client.results(_search(arxiv, query, limit)), start=1):
            try:
                yield number, _paper(result)
            except BadRecordError as bad:
                yield Problem.at(f"{api}: result {number}", bad)
    except (arxiv.ArxivError, requests.exceptions.RequestException) as error:
        raise RemoteError(
            f"did not answer ({error})", where=api, hint="Check the network, or try again later"
        ) from None


def _search(arxiv: Any, query: str, limit: int) -> Any:
    ids = [parse_identity(part) or "" for part in query.split(",")]
    if all(name.startswith("arxiv:") for name in ids):
        return arxiv.Search(id_list=[part.strip() for part in query.split(",")], max_results=limit)
    newest, descending = arxiv.SortCriterion.SubmittedDate, arxiv.SortOrder.Descending
    return arxiv.Search(query=query, max_results=limit, sort_by=newest, sort_order=descending)


def _paper(result: Any) -> Paper:
    return make_paper(
        result.title,
        names=[result.entry_id, f"doi:{result.doi}" if result.doi else None],
        abstract=result.summary,
        authors=[author.name for author in result.authors],
        date=result.published.date(),
        url=result.entry_id.replace("http://", "https://", 1),
        venue=result.journal_ref or "",
        categories=dict.fromkeys([result.primary_category, *result.categories]),
    )

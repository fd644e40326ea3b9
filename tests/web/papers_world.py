"""A feed folder for the pages: made papers of three fields, small random atoms, and 200 attempts at markup."""

from __future__ import annotations

import datetime
import random

from page_world import DIMENSIONS, make_atoms

from hash_encoder import HashEncoder
from sememe.papers import Paper, PaperStore
from sememe.papers.collection import PaperCollection

FIELDS = {
    "cs.CV": "image camera pixel segmentation detection scene depth object video frame".split(),  # noqa: SIM905
    "cs.CL": "sentence translation parsing grammar word token dialogue summary corpus text".split(),  # noqa: SIM905
    "cs.RO": "robot gripper motion planning torque arm grasp locomotion joint control".split(),  # noqa: SIM905
}
LAST_DAY = datetime.date(2026, 11, 25)
TEX = r"With $\ell_1$ norms in $O(\sqrt{T})$ we get $\mathbb{R}^d$, not $\foo{x}$ and not $5 to $10."
FIRST = "arxiv:2611.00000"

_SCRIPTS = ("alert(1)", "alert(document.domain)")
_BASES = [
    "<script>{0}</script>",
    "<img src=x onerror={0}>",
    "<svg onload={0}>",
    "<body onload={0}>",
    "<iframe src=javascript:{0}>",
    "<a href=javascript:{0} autofocus onfocus={0}>x</a>",
    "<details open ontoggle={0}>",
    "<video><source onerror={0}></video>",
    "<math><mi xlink:href=javascript:{0}>x</mi></math>",
    "<style>@import 'javascript:{0}'</style>",
    "$\\text{{<img src=x onerror={0}>}}$",
    "$<img src=x onerror={0}>$",
    "\\emph{{<script>{0}</script>}}",
    "{{{{ {0} }}}} {{% raw %}}",
    "<input autofocus onfocus={0}>",
    "<object data=javascript:{0}>",
    "<form action=javascript:{0}><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=javascript:{0}'>",
    "<base href=javascript:{0}//>",
    "<isindex type=image src=1 onerror={0}>",
]
_WRAPPERS = ["{}", "\"'>{}", "</title>{}", "</textarea>{}", "--><!-- {} -->"]
PAYLOADS = [wrap.format(base.format(script)) for base in _BASES for wrap in _WRAPPERS for script in _SCRIPTS]
assert len(PAYLOADS) == len(set(PAYLOADS)) == 200


def made_papers(n: int = 60) -> list[Paper]:
    """Papers, the newest first, three a day."""
    rng = random.Random(0)
    papers = []
    for number in range(n):
        field = list(FIELDS)[number % 3]
        papers.append(
            Paper(
                f"arxiv:2611.{number:05d}",
                f"On {' '.join(rng.sample(FIELDS[field], 3))} {number}",
                TEX if number == 0 else " ".join(rng.choices(FIELDS[field], k=30)) + ".",
                authors=("Ada Lovelace", f"Author {number % 5}"),
                date=LAST_DAY - datetime.timedelta(days=number // 3),
                votes=number % 7 or None,
                url=f"https://arxiv.org/abs/2611.{number:05d}",
                categories=(field,),
            )
        )
    return papers


def attacks() -> list[Paper]:
    """A paper for each attempt: in its title, abstract, author, venue, category and keyword."""
    return [
        Paper(
            f"doi:10.9999/x{number}",
            text,
            text,
            (text,),
            date=LAST_DAY,
            url="https://example.org/x",
            venue=text,
            categories=(text,),
            keywords=(text,),
        )
        for number, text in enumerate(PAYLOADS)
    ]


def make_feed(folder, papers, *, with_atoms=True):
    """A feed folder of papers, indexed; returns it."""
    with PaperStore.open(folder, create=True) as store:
        store.add(papers)
    with PaperCollection.open(folder, encoder=HashEncoder(DIMENSIONS)) as collection:
        collection.catch_up()
    if with_atoms:
        make_atoms().save(folder / "atoms")
    return folder


def open_feed(folder):
    """The collection of a made feed folder."""
    return PaperCollection.open(folder, encoder=HashEncoder(DIMENSIONS))

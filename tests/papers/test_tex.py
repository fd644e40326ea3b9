r"""TeX through an allow-list: known formulas become trees, everything else stays the text that it was."""

from __future__ import annotations

import gzip
import json
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sememe.papers.tex import _FORMULA, Node, pieces

TAGS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "msub", "msup", "msubsup", "mfrac", "msqrt", "mroot", "mover"),
    *("em", "strong", "code", "span"),
}


def words(tree):
    return tree if isinstance(tree, str) else "".join(map(words, tree.children))


def tags(tree):
    return set() if isinstance(tree, str) else {tree.tag}.union(*map(tags, tree.children))


def shown(text):
    return "".join(map(words, pieces(text)))


@pytest.mark.parametrize(
    ("source", "letters"),
    [
        (r"$\ell_1$", "ℓ1"),
        (r"$O(\sqrt{T})$", "O(T)"),
        (r"$\mathbb{R}^d$ and $\mathbb{E}$", "ℝd and 𝔼"),
        (r"\(\alpha \leq \frac{1}{2}\)", "α≤12"),
        (r"$$\sum_{i=1}^n \mathcal{L}_i$$", "∑i=1nℒi"),
        (r"$\hat{x}_i^2$", "x^i2"),
        (r"$f'(x)$", "f′(x)"),
        (r"$\sqrt[3]{x}$", "x3"),
        (r"$\left( a \right]$", "(a]"),
        (r"$\mathrm{softmax}(QK^\top)$", "softmax(QK⊤)"),
        (r"10$^3$", "103"),
        (r"$\textit{two words}$", "two words"),
        (r"$x_{\text{two words}}$", "xtwo words"),
        (r"\emph{so}, 50\% of R\&D", "so, 50% of R&D"),
        ("no~break", "no\u00a0break"),
    ],
)
def test_what_is_on_the_list_is_rendered(source, letters):
    assert shown(source) == letters


def test_a_tree():
    assert pieces(r"an $x_1$") == [
        "an ",
        Node("math", (Node("msub", (Node("mi", ("x",)), Node("mn", ("1",)))),)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "between $5 and $10",
        r"$\foo{x}$",
        r"$\href{javascript:alert(1)}{x}$",
        r"$\begin{matrix} a & b \end{matrix}$",
        r"$\input{/etc/passwd}$ \write18{ls}",
        "$x_$",
        "$x^2^3$",
        "${x$",
        "$x}$",
        r"$\frac{1}$",
        r"$\mathbb{\foo}$",
        r"$\left$",
        "$",
        "$$",
        "$" + "{" * 200 + "x" + "}" * 200 + "$",
        "$\u202ex$",
        "",
    ],
)
def test_everything_else_stays_text(text):
    assert shown(text) == text
    assert not any(isinstance(piece, Node) for piece in pieces(text))


def test_a_thing_off_the_list_spoils_only_its_own_formula():
    found = pieces(r"$\foo$ but $x$")
    assert found[0] == r"$\foo$ but "
    assert found[1].tag == "math"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"$\\{}^_'[]()<>&\"ab1 .\n", "\\frac", "\\text", "\\emph{", "\\("]), max_size=40))
def test_any_text_gives_only_known_elements(parts):
    text = "".join(parts)
    for piece in pieces(text):
        assert tags(piece) <= TAGS
    if not any(isinstance(piece, Node) for piece in pieces(text)) and "\\" not in text and "~" not in text:
        assert shown(text) == text


def test_a_long_text_is_read_quickly():
    for text in ("$" * 20_000, "$a" * 10_000, "\\(" * 10_000, "\\emph{" * 10_000, "{" * 20_000, "$x" + "^" * 20_000):
        pieces(text)  # each in well under a second: the time limit of a test would show a blow-up


def test_most_formulas_of_real_abstracts_are_rendered(shared):
    """The figure in docs/papers-pages.md: 849 of the 873 formulas in the first 6,001 abstracts."""
    formulas = rendered = 0
    with gzip.open(shared("papers-arxiv") / "papers.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in islice(lines, 6001):
            for match in _FORMULA.finditer(json.loads(line)["abstract"]):
                formulas += 1
                rendered += [isinstance(piece, Node) for piece in pieces(match[0])] == [True]  # all of it
    assert (rendered, formulas) == (849, 873)

"""The text of a saved daily-papers page."""

from __future__ import annotations

import datetime

import pytest

from sememe.errors import InputError
from sememe.papers import PaperStore
from sememe.papers.importing import ImportConfig, PaperSource

SEED = [
    ("Towards Atoms of Large Language Models", 5, "2025-09-25", None),
    (
        "CoreInfer: Accelerating Large Language Model Inference with Semantics-Inspired Adaptive Sparse Activation",
        6,
        "2024-10-23",
        None,
    ),
    ("FreSh: Frequency Shifting for Accelerated Neural Representation Learning", 5, "2024-10-07", None),
    ("DMoERM: Recipes of Mixture-of-Experts for Effective Reward Modeling", 1, "2024-03-02", None),
    (
        "Sparse Autoencoders Enable Scalable and Reliable Circuit Identification in Language Models",
        2,
        "2024-05-21",
        None,
    ),
    (
        "Learned feature representations are biased by complexity, learning order, position, and more",
        3,
        "2024-05-09",
        None,
    ),
    ("Localist LLMs with Recruitment Learning", 1, "2025-10-20", None),
    (
        "AttentionInfluence: Adopting Attention Head Influence for Weak-to-Strong Pretraining Data Selection",
        4,
        "2025-05-12",
        2,
    ),
    ("Matryoshka Representation Learning", 11, "2022-05-26", None),
    ("Dense Text Retrieval based on Pretrained Language Models: A Survey", 4, "2022-11-27", None),
    ("The Consciousness Prior", 1, "2017-09-25", None),
    (
        "Progressively Optimized Bi-Granular Document Representation for Scalable Embedding Based Retrieval",
        12,
        "2022-01-14",
        None,
    ),
    (
        "Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",
        9,
        "2022-10-03",
        None,
    ),
    (
        "Emergent Semantics Beyond Token Embeddings: Transformer LMs with Frozen Visual Unicode Representations",
        1,
        "2025-07-07",
        1,
    ),
    ("CodeGen2: Lessons for Training LLMs on Programming and Natural Languages", 5, "2023-05-03", None),
    ("Efficient Generative Model Training via Embedded Representation Warmup", 4, "2025-04-14", 2),
    (
        "Improving Query Representations for Dense Retrieval with Pseudo Relevance Feedback: A Reproducibility Study",
        6,
        "2021-12-12",
        None,
    ),
    (
        "Task-Specific Data Selection for Instruction Tuning via Monosemantic Neuronal Activations",
        9,
        "2025-03-19",
        None,
    ),
    (
        "From PEFT to DEFT: Parameter Efficient Finetuning for Reducing Activation Density in Transformers",
        3,
        "2024-02-02",
        1,
    ),
    ("Vector representations of text data in deep learning", 1, "2019-01-07", None),
    (
        "When and why vision-language models behave like bags-of-words, and what to do about it?",
        5,
        "2022-10-04",
        None,
    ),
    (
        "A theory of representation learning gives a deep generalisation of kernel methods",
        6,
        "2021-08-30",
        None,
    ),
    (
        'Ten Lessons We Have Learned in the New "Sparseland": A Short Handbook for Sparse Neural Network Researchers',
        2,
        "2023-02-06",
        None,
    ),
    ("Unsupervised Dense Information Retrieval with Contrastive Learning", 7, "2021-12-16", None),
    ("CRISP: Clustering Multi-Vector Representations for Denoising and Pruning", 6, "2025-05-16", None),
    ("Revela: Dense Retriever Learning via Language Modeling", 8, "2025-06-19", None),
]


def read(tmp_path, text: str, **options):
    file = tmp_path / "page.txt"
    file.write_text(text, encoding="utf-8")
    return PaperSource(str(file), ImportConfig(**options))


def test_the_seed_page_has_exactly_its_26_papers(shared):
    papers = list(PaperSource(str(shared("daily-papers") / "page.txt")))
    assert [(p.title, p.n_authors, p.date.isoformat(), p.votes) for p in papers] == SEED
    assert all(len(p.abstract) > 1000 for p in papers)
    assert not any("authors" in p.abstract[-20:] or "Daily Papers" in p.abstract for p in papers)


def test_importing_the_seed_page_again_changes_nothing(tmp_path, shared):
    page = str(shared("daily-papers") / "page.txt")
    with PaperStore.open(tmp_path, create=True) as store:
        first, again = store.add(PaperSource(page)), store.add(PaperSource(page))
    assert (first.imported, again.imported, again.updated, again.skipped) == (26, 0, 0, 26)


PAGE = """Daily Papers

Jan 8

A title

An abstract of two words, more or less.

A second paragraph.

  • 3 authors
·
May 12, 2025 17

Another title

Another abstract.

  • 1 author
·
Dec 1, 2024
"""


def test_votes_paragraphs_and_one_author(tmp_path):
    first, second = read(tmp_path, PAGE)
    assert (first.title, first.n_authors, first.votes) == ("A title", 3, 17)
    assert first.abstract == "An abstract of two words, more or less.\n\nA second paragraph."
    assert (second.n_authors, second.votes, second.date) == (1, None, datetime.date(2024, 12, 1))


def test_windows_line_ends_and_a_byte_order_mark(tmp_path):
    file = tmp_path / "page.txt"
    file.write_bytes(b"\xef\xbb\xbf" + PAGE.replace("\n", "\r\n").encode())
    assert [p.title for p in PaperSource(str(file))] == ["A title", "Another title"]


def test_a_paper_without_a_day_is_a_bad_record_with_its_place(tmp_path):
    broken = PAGE.replace("May 12, 2025 17\n", "")
    with pytest.raises(InputError, match=r"page\.txt:5: has no day behind its authors"):
        list(read(tmp_path, broken))
    source = read(tmp_path, broken, on_error="skip")
    assert [p.title for p in source] == ["Another title"]
    assert (source.n_skipped, source.skipped[0].place[-10:]) == (1, "page.txt:5")


def test_a_number_of_authors_without_a_title(tmp_path):
    with pytest.raises(InputError, match="no title above it"):
        list(read(tmp_path, "3 authors\n·\nMay 12, 2025\n"))

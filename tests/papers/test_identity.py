"""What papers are known by: how it is written, and that records of one paper become one paper."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sememe.errors import InputError
from sememe.papers import Paper, PaperStore
from sememe.papers.identity import (
    address_of,
    arxiv_version,
    best_identity,
    conflict,
    normalised_title,
    parse_identity,
    require_identity,
    same_by_title,
    similar_titles,
    title_identity,
)


class TestWriting:
    @pytest.mark.parametrize(
        ("text", "identity"),
        [
            ("2405.12522", "arxiv:2405.12522"),
            ("arXiv:2405.12522v3", "arxiv:2405.12522"),
            ("arxiv: 2405.12522", "arxiv:2405.12522"),
            ("http://arxiv.org/abs/2405.12522v1", "arxiv:2405.12522"),
            ("https://arxiv.org/pdf/2405.12522v2.pdf", "arxiv:2405.12522"),
            ("https://export.arxiv.org/abs/2405.12522", "arxiv:2405.12522"),
            ("https://huggingface.co/papers/2405.12522", "arxiv:2405.12522"),
            ("oai:arXiv.org:2405.12522", "arxiv:2405.12522"),
            ("hep-th/9901001v2", "arxiv:hep-th/9901001"),
            ("math.AG/0601001", "arxiv:math.ag/0601001"),
            ("10.48550/arXiv.2405.12522", "arxiv:2405.12522"),
            ("https://doi.org/10.1000/ABC.1", "doi:10.1000/abc.1"),
            ("doi:10.1000/x", "doi:10.1000/x"),
            ("10.1000/182", "doi:10.1000/182"),
            ("10.18653/v1/2020.acl-main.1", "acl:2020.acl-main.1"),
            ("10.18653/v1/P19-1001", "acl:P19-1001"),
            ("https://aclanthology.org/2020.acl-main.1/", "acl:2020.acl-main.1"),
            ("https://www.aclweb.org/anthology/p19-1001.pdf", "acl:P19-1001"),
            ("acl:2016.amta-researchers.1", "acl:2016.amta-researchers.1"),
            ("https://openreview.net/forum?id=abc_D-1", "openreview:abc_D-1"),
            ("https://openreview.net/pdf?id=abcD&x=1", "openreview:abcD"),
            ("title:0123456789abcdef", "title:0123456789abcdef"),
            ("isbn:1", None),
            ("17", None),
            ("", None),
            ("2405.1", None),
            ("title:xyz", None),
            ("https://example.org/2405.12522", None),
            ("10.1000", None),
        ],
    )
    def test_an_identity_in_all_its_forms(self, text, identity):
        assert parse_identity(text) == identity
        if identity:
            assert parse_identity(identity) == identity == require_identity(text)
            assert not address_of(identity) or parse_identity(address_of(identity)) == identity
        else:
            with pytest.raises(InputError, match="not a paper's id"):
                require_identity(text)

    @pytest.mark.parametrize(("text", "version"), [("2405.12522v12", 12), ("2405.12522", None), ("x", None)])
    def test_a_version(self, text, version):
        assert arxiv_version(text) == version

    def test_the_best_of_several(self):
        assert best_identity(["doi:10.1/x", "openreview:a", "arxiv:2405.00001"], "T") == "arxiv:2405.00001"
        assert best_identity([], "T") == title_identity("T")

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=60))
    def test_no_text_breaks_it(self, text):
        identity = parse_identity(text)
        assert identity is None or parse_identity(identity) == identity


class TestTitles:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Attention Is All You Need", "attention is all you need."),
            ("$\\beta^3$-IRT: A Model", "β3-IRT: a model"),
            ('Schr\\"odinger Bridges', "Schrödinger bridges"),
            ("{BERT}: Pre-training", "BERT: Pre–training"),
            ("Learning  in\n two lines", "Learning in two lines"),
            ("\\emph{Really} good", "Really good"),
            ("H₂O and ﬁne", "H2O and fine"),
        ],
    )
    def test_the_same_title(self, one, other):
        assert normalised_title(one) == normalised_title(other)
        assert title_identity(one) == title_identity(other)

    @pytest.mark.parametrize("title", ["???", "♥", "—"])
    def test_a_title_of_signs_only_is_still_one(self, title):
        assert normalised_title(title)
        assert title_identity(title) != title_identity("!")

    def test_scripts_without_capitals(self):
        assert normalised_title("深度学习 综述") == "深度学习综述"

    def test_similar_titles(self):
        assert similar_titles("Atoms of language models", "Towards atoms of large language models")
        assert not similar_titles("Learning to rank with cats", "Parsing Finnish slowly")

    @pytest.mark.parametrize(
        ("authors", "others", "same"),
        [
            ((), (), True),
            (("Ada Lovelace",), (), True),
            (("Ada Lovelace",), ("A. Lovelace", "X"), True),
            (("Lovelace, Ada",), ("Ada Lovelace",), True),
            (("Kurt Gödel",), ("K. Godel",), True),
            (("Ada Lovelace",), ("Alan Turing",), False),
            (("Anonymous",), ("Alan Turing",), True),
            (("Wei Zhang",), ("Zhang Wei",), True),
        ],
    )
    def test_authors_speak_against_a_title(self, authors, others, same):
        title = "A title that two papers may have"
        papers = [Paper(title_identity(title), title, authors=names) for names in (authors, others)]
        assert same_by_title(*papers) is same

    def test_a_conflict_is_only_in_what_both_have(self):
        assert conflict(["arxiv:1", "doi:10.1/x"], ["arxiv:2"])
        assert not conflict(["arxiv:1"], ["doi:10.1/x"])
        assert not conflict(["openreview:a"], ["openreview:b"])
        assert not conflict(["doi:10.1/x", "doi:10.1/y"], ["doi:10.1/y"])


# A little world: a few papers, each with two titles and an identity of each kind. A record tells some of it.
TITLES = [
    ("Atoms of meaning in small models", "Atoms of meaning in small language models"),
    ("How readers find papers", "How readers find the papers they like"),
    ("A theory of everything else", "A theory of everything else, revised"),
]


@st.composite
def records(draw):
    """The number of a paper, and a record that tells one of its titles and some of its identities."""
    number = draw(st.integers(0, len(TITLES) - 1))
    names = {f"arxiv:2405.0000{number}", f"doi:10.1000/{number}", f"acl:2020.acl-main.{number}"}
    told = draw(st.sets(st.sampled_from(sorted(names))))
    title = TITLES[number][draw(st.integers(0, 1))]
    fields = {
        "abstract": draw(st.sampled_from(["", "One.", "Another."])),
        "authors": draw(st.sampled_from([(), (f"Ada N{number}",), (f"A. N{number}", "Somebody Else")])),
        "votes": draw(st.sampled_from([None, 1, 2])),
        "version": draw(st.integers(1, 2)),
    }
    identities = tuple(sorted(told))
    return number, Paper(best_identity(told, title), title, identities=identities, **fields)


def components(told: list[tuple[int, Paper]]) -> list[set[int]]:
    """Which records are of one paper: they share an identity or a title, directly or through others."""
    groups: list[tuple[set[str], set[int]]] = []
    for at, (_, paper) in enumerate(told):
        names, members = {*paper.identities, title_identity(paper.title)}, {at}
        for group in [group for group in groups if group[0] & names]:
            groups.remove(group)
            names |= group[0]
            members |= group[1]
        groups.append((names, members))
    return [members for _, members in groups]


class TestMerging:
    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(records(), min_size=1, max_size=8))
    def test_records_become_the_papers_that_they_are_about(self, tmp_path_factory, told):
        """In whatever order they come: a paper for each group that hangs together, found by all its names."""
        with PaperStore.open(tmp_path_factory.mktemp("feed"), create=True) as store:
            _without_fsync(store)
            first_ids = {}
            for at, (_, paper) in enumerate(told):
                store.add([paper])
                first_ids[at] = store.find(paper.id)
            expected = components(told)
            assert len(store) == len(expected)
            for members in expected:
                ids = {store.paper(told[at][1].id).id for at in members}
                ids |= {store.paper(name).id for at in members for name in told[at][1].identities}
                ids |= {store.paper(first_ids[at]).id for at in members}  # an id that was once given is never lost
                assert len(ids) == 1
            before = (store.select(), store.changed_since(0))
            assert store.add(paper for _, paper in told).skipped == len(told)
            assert (store.select(), store.changed_since(0)) == before

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(records(), min_size=1, max_size=6))
    def test_one_by_one_and_all_at_once_is_the_same(self, tmp_path_factory, told):
        found = []
        for batches in ([told], [[record] for record in told]):
            with PaperStore.open(tmp_path_factory.mktemp("feed"), create=True) as store:
                _without_fsync(store)
                for batch in batches:
                    store.add(paper for _, paper in batch)
                found.append([(paper, len(store.versions(paper.id))) for paper in store.select(order="added")])
        assert found[0] == found[1]

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(records(), min_size=2, max_size=6), st.data())
    def test_what_a_reader_keeps_survives_every_merge(self, tmp_path_factory, told, data):
        with PaperStore.open(tmp_path_factory.mktemp("feed"), create=True) as store:
            _without_fsync(store)
            kept = set()
            for number, (_, paper) in enumerate(told):
                store.add([paper])
                if data.draw(st.booleans()):
                    store.mark(paper.id, "saved")
                    store.set_tags(paper.id, {*store.tags(paper.id), f"t{number}"})
                    kept.add((paper.id, f"t{number}"))
            for identity, tag in kept:
                assert store.find(identity) in store.marked("saved")
                assert tag in store.tags(identity)
            assert sum(store.all_tags().values()) == len({tag for _, tag in kept})

    def test_three_papers_become_one(self, tmp_path):
        """Every order of the records that tell it."""
        told = [
            Paper("arxiv:2405.00001", "Atoms of meaning"),
            Paper("doi:10.1000/1", "Atoms of meaning, published"),
            Paper("acl:2020.acl-main.1", "Atoms of meaning at ACL"),
            Paper("arxiv:2405.00001", "Atoms of meaning", identities=("doi:10.1000/1",)),
            Paper("acl:2020.acl-main.1", "Atoms of meaning at ACL", identities=("arxiv:2405.00001",)),
        ]
        for number, order in enumerate(itertools.islice(itertools.permutations(told), 0, None, 7)):
            with PaperStore.open(tmp_path / str(number), create=True) as store:
                _without_fsync(store)
                store.add(order)
                assert len(store) == 1
                assert len(store.identities("acl:2020.acl-main.1")) == 3


def _without_fsync(store: PaperStore) -> None:
    """These tests are about what is stored, not about when it is on disk."""
    store._database.connection.execute("PRAGMA synchronous=OFF")

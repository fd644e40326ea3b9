"""The contract of first stages: one suite that every kind passes, and updates of an index under each of them."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hash_encoder import HashEncoder
from sememe import Document, Index
from sememe.bank import Bank
from sememe.errors import ArtifactError, InputError
from sememe.search.coarse.kinds import CODES, fit_stage, parse_coarse, split_names

N, D = 900, 32
NAMES = {
    "binary": "binary",
    "pq": "pq:8",
    "ivf": "ivf:12",
    "hnsw": "hnsw:8",
    "prefix": "prefix:16",
    "funnel": "funnel:8,16",
    "atoms": "atoms:64",
    "sign": "sign",
    "lsh": "lsh:64",
    "itq": "itq:32",
}
WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "flies", "over", "the", "big", "house", "tree"]


def test_every_kind_is_in_this_suite():
    assert set(NAMES) == set(CODES)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, D))
    vectors = centres[rng.integers(30, size=N)] + 0.5 * rng.standard_normal((N, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with Bank.create(tmp_path_factory.mktemp("coarse") / "bank", D, provenance={}) as made:
        made.append(vectors.astype(np.float32))
        made.commit()
        yield made


@pytest.fixture(scope="module")
def stages(bank):
    """Each kind, learned once and holding codes of all rows."""
    made = {}
    for kind, name in NAMES.items():
        stage = fit_stage(parse_coarse(name), bank)
        assert stage.n_rows == 0
        stage.extend(bank)
        made[kind] = stage
    return made


class Part:
    """The first rows of a bank."""

    def __init__(self, bank: Bank, n: int) -> None:
        self._bank, self._n = bank, n
        self.dimensions, self.path, self.provenance = bank.dimensions, bank.path, bank.provenance

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows):
        return self._bank[: self._n][rows]

    def batches(self, size):
        return ((start, self[start : start + size]) for start in range(0, self._n, size))


@pytest.mark.parametrize("kind", NAMES)
def test_as_many_candidates_as_rows_are_all_allowed_rows(bank, stages, kind):
    stage = stages[kind]
    allowed = np.random.default_rng(1).random(N) < 0.6
    found = stage.candidates(bank[3:4][0], N, allowed)
    assert found.dtype == np.int64
    assert sorted(found.tolist()) == np.flatnonzero(allowed).tolist()


@pytest.mark.parametrize("kind", NAMES)
def test_candidates_are_allowed_distinct_and_good(bank, stages, kind):
    stage, queries = stages[kind], bank[:40]
    allowed = np.ones(N, bool)
    allowed[::3] = False
    exact = np.where(allowed, queries @ bank[:].T, -np.inf)
    recalls = []
    for query, scores in zip(queries, exact, strict=True):
        found = stage.candidates(query, 200, allowed)
        assert len(found) == len(set(found.tolist())) == 200
        assert allowed[found].all()
        recalls.append(np.isin(np.argsort(-scores)[:10], found).mean())
    assert np.mean(recalls) > 0.8  # a third of the allowed rows are proposed


@pytest.mark.parametrize("kind", NAMES)
def test_fewer_candidates_are_the_first_of_more(bank, stages, kind):
    allowed = np.ones(N, bool)
    few, many = (stages[kind].candidates(bank[7:8][0], n, allowed) for n in (20, 60))
    if kind not in ("ivf", "hnsw"):  # which look further when they must find more
        assert set(few.tolist()) <= set(many.tolist())
    assert few[0] == many[0]


@pytest.mark.parametrize("kind", NAMES)
def test_nothing_allowed_gives_nothing(bank, stages, kind):
    assert len(stages[kind].candidates(bank[0:1][0], 10, np.zeros(N, bool))) == 0


@pytest.mark.parametrize("kind", NAMES)
def test_rows_added_in_pieces_get_the_same_codes(bank, stages, kind, tmp_path):
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    stages[kind].save(whole)
    stage = fit_stage(parse_coarse(NAMES[kind]), bank)
    for n in (1, 300, 301, N):
        stage.extend(Part(bank, n))
        assert stage.n_rows == n
    stage.save(pieces)
    for file in whole.iterdir():
        assert file.read_bytes() == (pieces / file.name).read_bytes(), file.name


@pytest.mark.parametrize("kind", NAMES)
def test_saving_loading_and_saving_gives_the_same_bytes_and_answers(bank, stages, kind, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    stages[kind].save(first)
    loaded = CODES[kind].load(first)
    loaded.save(second)
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name
    allowed = np.ones(N, bool)
    assert (loaded.n_rows, loaded.nbytes) == (N, stages[kind].nbytes)
    for query in bank[:5]:
        np.testing.assert_array_equal(
            loaded.candidates(query, 50, allowed), stages[kind].candidates(query, 50, allowed)
        )


@pytest.mark.parametrize("kind", NAMES)
def test_another_kind_and_damage_are_refused(stages, kind, tmp_path):
    other = "binary" if kind != "binary" else "sign"
    stages[other].save(tmp_path / "other")
    with pytest.raises(ArtifactError):
        CODES[kind].load(tmp_path / "other")
    stages[kind].save(tmp_path / "damaged")
    file = tmp_path / "damaged" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        CODES[kind].load(tmp_path / "damaged")


@pytest.mark.parametrize("kind", NAMES)
def test_codes_are_smaller_than_vectors(bank, stages, kind):
    if kind not in ("atoms", "pq", "ivf", "lsh", "itq"):  # whose dictionary, codebook or rotation outweighs 900 rows
        if kind == "hnsw":  # whose links outweigh rows of 32 numbers
            return
        assert stages[kind].nbytes < bank.nbytes / 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "faiss",
        "pq:",
        "pq:x",
        "pq:-1",
        "pq:0",
        "exact:3",
        "auto:1",
        "pq:8:8",
        "pq:٣",
        "pq:8,8",
        "funnel:",
        "funnel:8,",
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(text):
    with pytest.raises(InputError) as caught:
        parse_coarse(text)
    assert "prefix:DIMENSIONS" in str(caught.value)


def test_names_in_a_list_may_have_several_numbers():
    assert split_names("dense, funnel:64,128,256,pq:48,,funnel:8@my.index") == [
        "dense",
        "funnel:64,128,256",
        "pq:48",
        "funnel:8@my.index",
    ]
    assert str(parse_coarse("funnel:64,128")) == "funnel:64,128"
    assert parse_coarse("funnel:64").parameter == (64,)


def test_a_funnel_is_the_scan_of_a_prefix_ordered_by_longer_ones(bank, stages):
    """Against a brute-force reference on the decoded prefixes: 4n by 4 dimensions, 2n by 8, n by 16."""
    funnel = fit_stage(parse_coarse("funnel:4,8,16"), bank)
    funnel.extend(bank)
    single = fit_stage(parse_coarse("funnel:16"), bank)
    single.extend(bank)
    allowed = np.random.default_rng(2).random(N) < 0.7
    for query in bank[:10]:
        rows = np.flatnonzero(allowed)
        for m, kept in ((4, 60), (8, 30), (16, 15)):
            prefixes = bank[rows][:, :m] / np.linalg.norm(bank[rows][:, :m], axis=1, keepdims=True)
            coded = funnel.prefixes[(4, 8, 16).index(m)].scores(query, rows)
            np.testing.assert_allclose(coded, prefixes @ query[:m], atol=0.02)
            rows = rows[np.lexsort((rows, -coded))[:kept]]
        assert funnel.candidates(query, 15, allowed).tolist() == rows.tolist()
        prefix = stages["prefix"].candidates(query, 50, allowed)
        assert single.candidates(query, 50, allowed).tolist() == prefix.tolist()
    assert funnel.nbytes == N * (4 + 8 + 16)
    for wrong in ((16, 8), (8, 8), (8, 64)):
        with pytest.raises(InputError):
            fit_stage(parse_coarse(f"funnel:{wrong[0]},{wrong[1]}"), bank)


# ── updates of an index under every first stage ──────────────────────────────────────────────────────────────────


def document(number: int) -> Document:
    rng = random.Random(number)
    return Document(f"d{number}", " ".join(rng.choices(WORDS, k=rng.randint(1, 60))))  # some have several windows


@pytest.mark.parametrize("name", ["exact", "lexical", *NAMES.values()])
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_after_any_changes_search_equals_a_fresh_index(tmp_path, name, data):
    """Enough candidates are proposed here that every stage must find the exact answer."""
    encoder = HashEncoder(dimensions=16)
    settings_ = {"coarse": {"atoms:64": "atoms:16", "itq:32": "itq:16"}.get(name, name), "candidates": 1000}
    shutil.rmtree(tmp_path / "changed", ignore_errors=True)
    shutil.rmtree(tmp_path / "fresh", ignore_errors=True)
    expected = {f"d{i}": document(i) for i in range(40)}
    index = Index.build(list(expected.values()), encoder, tmp_path / "changed", **settings_)
    following = 40
    for _ in range(data.draw(st.integers(1, 4))):
        change = data.draw(st.sampled_from(["add", "delete", "replace", "compact", "reopen"]))
        some = data.draw(st.lists(st.sampled_from(sorted(expected)), max_size=6, unique=True))
        if change == "add":
            index.add([document(following)])
            expected[f"d{following}"] = document(following)
            following += 1
        elif change == "delete":
            index.delete(some)
            expected = {i: d for i, d in expected.items() if i not in some}
        elif change == "replace":
            new = [Document(i, document(following + n).text) for n, i in enumerate(some)]
            index.replace(new)
            expected = {i: d for i, d in expected.items() if i not in some} | {d.id: d for d in new}
        elif change == "compact":
            index.compact()
        else:
            index.prepare()
            index.close()
            index = Index.open(tmp_path / "changed", writable=True, encoder=encoder)
    with index, Index.build(list(expected.values()), encoder, tmp_path / "fresh", coarse="exact") as fresh:
        assert index.ids() == fresh.ids() == list(expected)
        for query in ("red cat", "the big house sleeps", "bird"):
            changed, every = (
                [(hit.document.id, hit.score) for hit in each.search(query, k)] for each, k in ((index, 7), (fresh, 99))
            )
            if name == "lexical":  # which proposes only documents that share a word with the query
                assert [pair for pair in every if pair in changed] == changed
            else:
                assert changed == every[:7]


def test_stages_are_reported(tmp_path, hash_encoder):
    with Index.build([document(i) for i in range(50)], hash_encoder, tmp_path / "i", coarse="pq:4") as index:
        dense, hybrid = index.search("red cat", 5), index.search("red cat", 5, mode="hybrid")
    assert [report.stage for report in dense.stages] == ["encode", "pq:4", "fine", "read"]
    assert [report.stage for report in hybrid.stages] == ["encode", "pq:4", "fine", "lexical", "fuse", "read"]
    _, coarse, fine, _ = dense.stages
    assert coarse.candidates == len(index.bank)  # at least 100 are proposed
    assert fine.candidates == 5
    assert fine.bytes_read == len(index.bank) * 4 * hash_encoder.dimensions
    assert all(report.ms > 0 for report in dense.stages)


def test_words_as_first_stage_need_a_text(tmp_path, hash_encoder):
    with (
        Index.build([document(i) for i in range(20)], hash_encoder, tmp_path / "i", coarse="lexical") as index,
        pytest.raises(InputError, match="must be a text"),
    ):
        index.search(np.ones(hash_encoder.dimensions, np.float32))


def test_atoms_propose_by_the_decoded_rows_at_their_lengths(bank, stages):
    """Against a dense reference: <q, x'> |x| / |x'| with x' the decoded code; and with few lists, those that matter."""
    stage = stages["atoms"]
    weights, codes = stage.weights, np.asarray(stage.lists.T.todense())
    decoded = codes @ weights.decoder + weights.bias
    scores = bank[:20] @ decoded.T / np.linalg.norm(decoded, axis=1) * np.linalg.norm(bank[:], axis=1)
    everything = np.ones(N, bool)
    for query, of_query in zip(bank[:20], scores, strict=True):
        found = stage.candidates(query, 30, everything)
        np.testing.assert_allclose(of_query[found], np.sort(of_query)[::-1][:30], atol=1e-5)
    try:
        stage.most_read = stage.lists.nnz // 4
        for query in bank[:20]:
            along = weights.decoder @ query
            reach = -np.abs(along) * np.linalg.norm(codes, axis=0)
            order, read = np.argsort(reach, kind="stable"), 0
            chosen = np.zeros(len(along), bool)
            for atom in order:
                read += int((codes[:, atom] > 0).sum())
                if read > stage.most_read:
                    break
                chosen[atom] = True
            partial = (codes[:, chosen] @ along[chosen] + weights.bias @ query) * stage.scales
            found = stage.candidates(query, 30, everything)
            np.testing.assert_allclose(partial[found], np.sort(partial)[::-1][:30], atol=1e-5)
            assert 0 < chosen.sum() < len(chosen)
    finally:
        stage.most_read = type(stage)(weights).most_read

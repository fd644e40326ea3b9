"""From a corpus to a folder: what sentence-transformers makes of it, what is measured, and what survives a kill."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_training import assert_same_bits, config, documents, small_encoder, static_folder, weights_of

torch = pytest.importorskip("torch")

from faults import contents, count_points, killed_at, leftovers  # noqa: E402
from hash_encoder import HashEncoder, LongVectors  # noqa: E402
from sememe import Encoder, Index, artifact  # noqa: E402
from sememe.corpus import Corpus, Document  # noqa: E402
from sememe.errors import ArtifactError, InputError, LockedError  # noqa: E402
from sememe.models.lora import LoraConfig  # noqa: E402
from sememe.models.scratch import ScratchConfig, encoder_from_scratch  # noqa: E402
from sememe.models.trainable import EncoderChanges, as_trainable  # noqa: E402
from sememe.objectives.contriever import Contriever  # noqa: E402
from sememe.objectives.nested import Nested  # noqa: E402
from sememe.training import encoders  # noqa: E402
from sememe.training.encoders import EncoderTraining, train_encoder, work_folder  # noqa: E402
from sememe.training.search_task import SearchTask  # noqa: E402
from sememe.training.verdict import judge  # noqa: E402

TEXTS = ["taaa tab caca cb.", "", "cc", *(each.content for each in documents(8, seed=3))]


def many(n: int = 150) -> list[Document]:
    """Enough documents to hold some out."""
    return documents(n, words=48)


def trained(folder: Path, encoder=None, *, texts=None, objective=None, **options):
    corpus = Corpus.from_documents(texts or documents())
    return train_encoder(encoder or small_encoder(), corpus, objective or Contriever(), folder, config(**options))


def changed(**changes):
    return as_trainable(small_encoder().encoder, EncoderChanges(**changes))


KINDS = {
    "plain": small_encoder,
    "dot": lambda: changed(normalize=False),
    "dense": lambda: changed(dense=8),
    "bag of words": lambda: small_encoder(layers=0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_sentence_transformers_loads_it_and_gives_the_same_vectors(tmp_path, kind):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = KINDS[kind]()
    before = encoder.encoder.encode(TEXTS)
    trained(tmp_path / "out", encoder)
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    ours, theirs = Encoder.load(tmp_path / "out").encode(TEXTS), peer.encode(TEXTS)
    assert np.abs(ours - theirs).max() < 1e-5
    assert np.abs(ours - encoder.encoder.encode(TEXTS)).max() < 1e-6
    assert np.abs(ours - before).max() > 1e-3
    assert peer.similarity_fn_name == encoder.similarity == ("dot" if kind == "dot" else "cosine")
    lengths = np.linalg.norm(ours[[bool(text) for text in TEXTS]], axis=1)
    assert (np.abs(lengths - 1).max() < 1e-5) == (kind != "dot")
    assert ours.shape[1] == (8 if kind == "dense" else 16)


def test_low_rank_adapters_are_merged_into_plain_weights(tmp_path):
    pytest.importorskip("peft", reason="needs the package peft (the train extra)")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    plain = weights_of(small_encoder())
    encoder = changed(lora=LoraConfig(rank=2))
    numbers = sum(weight.numel() for weight in encoder.parameters().values())
    assert numbers < 0.2 * encoder.count_parameters()
    assert all("lora" in name for name in encoder.parameters())
    trained(tmp_path / "out", encoder, learning_rate=0.05)
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    ours = Encoder.load(tmp_path / "out").encode(TEXTS)
    assert np.abs(ours - peer.encode(TEXTS)).max() < 1e-5
    assert np.abs(ours - encoder.encoder.encode(TEXTS)).max() < 1e-5
    merged = weights_of(as_trainable(Encoder.load(tmp_path / "out")))
    changes = {name: np.abs(merged[name] - plain[name]).max() for name in plain}
    assert any(change > 1e-3 for name, change in changes.items() if "query.weight" in name)
    assert all(change == 0 for name, change in changes.items() if "embeddings" in name or "bias" in name)


@pytest.mark.parametrize("normalize", [None, False])
def test_static_vectors_are_trained_too(tmp_path, normalize):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder = as_trainable(Encoder.load(static_folder(tmp_path / "static")), EncoderChanges(normalize=normalize))
    objective = Contriever(queue=16, momentum=0.9, temperature=1.0 if normalize is False else 0.05)
    trained(tmp_path / "out", encoder, objective=objective, learning_rate=0.01)
    peer = sentence_transformers.SentenceTransformer(str(tmp_path / "out"), device="cpu")
    texts = [text for text in TEXTS if text]
    ours = Encoder.load(tmp_path / "out").encode(texts)
    assert np.abs(ours - peer.encode(texts)).max() < 1e-5
    assert np.abs(ours - encoder.encoder.encode(texts)).max() < 1e-6
    assert peer.similarity_fn_name == ("dot" if normalize is False else "cosine")
    with pytest.raises(InputError, match="neither a dense layer nor adapters"):
        as_trainable(encoder.encoder, EncoderChanges(dense=4))


def test_equal_runs_write_equal_bytes(tmp_path):
    for name in ("a", "b"):
        trained(tmp_path / name, texts=many(), objective=Nested(Contriever(queue=16), [4]))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert not work_folder(tmp_path / "a").exists()


def test_the_card_says_what_made_it_and_how_it_measured(tmp_path):
    encoder = small_encoder()
    fingerprint = encoder.encoder.fingerprint
    texts = [*many(), Document("twice", many()[0].text), Document("short", "c")]
    done = trained(tmp_path / "out", encoder, texts=texts, held_out=25, checks=2)
    card = artifact.unseal(tmp_path / "out", encoders.KIND)
    assert {name: card[name] for name in done.card} == json.loads(json.dumps(done.card))
    assert card["start"] == {"name": "scratch", "fingerprint": fingerprint}
    assert card["objective"]["name"] == "contriever"
    assert card["objective"]["temperature"] == 0.05
    counts = {"documents": 152, "repeated": 1, "held_out": 25, "trained_on": 125, "too_short": 1}
    assert {name: card["data"][name] for name in counts} == counts
    assert list(card["checks"]) == ["3", "6"]
    assert card["kept_step"] in (3, 6)
    table = card["evaluation"]["table"]
    assert set(table) == {"BM25", "start", "trained", "start, hybrid", "trained, hybrid"}
    assert all(set(row) == {"ndcg@10", "recall@100"} for row in table.values())
    assert card["evaluation"]["questions"] == 12
    rows = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 7))
    readme = (tmp_path / "out" / "README.md").read_text()
    for sentence in card["evaluation"]["words"]:
        assert sentence in readme


def test_what_is_held_out_is_never_trained_on(tmp_path):
    corpus = Corpus.from_documents(many())
    with EncoderTraining(small_encoder(), corpus, Contriever(), tmp_path / "out", config(held_out=25)) as job:
        held_out = set(job.held_out.task.queries)
        drawn = {document for number in range(60) for document in job.data.batch(number).documents}
        assert len(held_out) == 25
        assert held_out.isdisjoint(drawn)
        assert held_out | drawn == {each.id for each in corpus}


def test_planning_costs_little_and_changes_nothing(tmp_path):
    encoder = small_encoder()
    before = weights_of(encoder)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    corpus = Corpus.from_documents(many())
    objective = Contriever(queue=16)
    with EncoderTraining(encoder, corpus, objective, tmp_path / "out", config(held_out=25)) as job:
        keys = objective.queue.keys.clone()
        plan = job.plan()
        assert torch.equal(objective.queue.keys, keys)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_bits(before, weights_of(encoder))
    assert all(weight.grad is None for weight in encoder.module.parameters())
    assert plan.trained == encoder.count_parameters()
    assert plan.examples == 48
    assert plan.train_seconds > 0
    assert plan.measure_seconds > 0
    assert plan.memory_bytes > 16 * plan.trained
    assert not work_folder(tmp_path / "out").exists()  # nothing was begun


def test_gradient_caching_needs_less_memory(tmp_path):
    plans = {}
    for chunk in (0, 4):
        corpus = Corpus.from_documents(documents())
        settings = config(batch_size=32, chunk=chunk)
        with EncoderTraining(small_encoder(), corpus, Contriever(), tmp_path / "out", settings) as job:
            plans[chunk] = job.plan().memory_bytes
    assert plans[4] < plans[0]


def test_a_corpus_that_is_too_small_to_hold_out_gets_no_verdict(tmp_path):
    done = trained(tmp_path / "out")
    assert done.verdict.is_better is None
    assert done.verdict.words[0].startswith("No verdict")
    assert done.card["kept_step"] == 6


def systems(**means: float) -> dict:
    """Sixty questions with equal noise for all systems, so that only the means differ."""
    noise = 0.05 * np.random.default_rng(0).standard_normal(60)
    found = {}
    for name, mean in means.items():
        values = {f"q{n}": float(np.clip(mean + each, 0, 1)) for n, each in enumerate(noise)}
        found[{"bm25": "BM25"}.get(name, name.replace("_", ", "))] = {"ndcg@10": values, "recall@100": values}
    return found


def test_the_verdict_says_better_worse_or_no_difference():
    better = judge(systems(start=0.5, trained=0.6, bm25=0.55))
    assert (better.is_better, better.words[0][:6]) == (True, "Better")
    assert better.words[1].startswith("Ahead of BM25 (nDCG@10 +0.050, 95% interval +0.0")
    worse = judge(systems(start=0.6, trained=0.5, bm25=0.7))
    assert worse.is_better is False
    assert worse.words[0].startswith("WORSE than the start")
    assert worse.words[1].startswith("Behind BM25 (nDCG@10 -0.2")
    same = judge(systems(start=0.6, trained=0.6, bm25=0.6))
    assert same.is_better is None
    assert same.words[0].startswith("NO DIFFERENCE")
    assert same.words[1].startswith("No difference from BM25 could be shown")
    assert {len(each.words) for each in (better, worse, same)} == {2}  # no advice without hybrid search
    assert {each.mode for each in (better, worse, same)} == {None}


@pytest.mark.parametrize(
    ("hybrid", "bm25", "mode", "words"),
    [
        (0.8, 0.7, "hybrid", "Best here with --mode hybrid (0.8"),
        (0.5, 0.7, "lexical", "Best here with --mode lexical: hybrid against it -0.2"),
        (0.5, 0.5, "dense", "Best here with --mode dense, the default: against hybrid +0.1"),
        (0.6, 0.6, "dense", "Best here with --mode dense, the default: against hybrid +0.000"),
    ],
)
def test_the_advice_on_how_to_search_is_what_was_measured_best(hybrid, bm25, mode, words):
    found = judge(systems(start=0.5, trained=0.6, bm25=bm25, start_hybrid=0.65, trained_hybrid=hybrid))
    assert found.mode == mode
    assert found.words[2].startswith(words)
    if mode == "hybrid":
        assert "against BM25 +0.1" in found.words[2]
        assert "against the start with hybrid +0.1" in found.words[2]
    assert found.as_dict()["mode"] == mode


def test_what_hybrid_search_is_said_to_find_is_what_an_index_finds(tmp_path):
    texts = documents(150, words=8)  # one window each
    queries = {f"q{n}": " ".join(document.text.split()[:3]) for n, document in enumerate(texts[:20])}
    encoder = small_encoder(dropout=0.0).encoder
    task = SearchTask(queries, {each.id: each.content for each in texts}, {name: {"d0": 1} for name in queries})
    words, meaning = task.by_words(), task.by_meaning(encoder)
    with Index.build(Corpus.from_documents(texts), encoder, tmp_path / "index") as index:
        for mode, run in {"lexical": words, "hybrid": task.fused(meaning, words)}.items():
            for name, query in queries.items():
                hits = index.search(query, k=30, mode=mode)
                assert [hit.document.id for hit in hits] == list(run[name])[:30]
                assert [hit.score for hit in hits] == pytest.approx(list(run[name].values())[:30], rel=1e-5)


def test_a_task_compares_vectors_as_the_encoder_says():
    texts, queries = {f"d{n}": text for n, text in enumerate(TEXTS) if text}, {"q": "taa cab", "r": "cc"}
    task, encoder = SearchTask(queries, texts, {"q": {"d0": 1}, "r": {"d2": 1}}), LongVectors()
    found, expected = task.by_meaning(encoder), task.by_meaning(HashEncoder())
    for query in queries:
        assert found[query] == pytest.approx(expected[query], rel=1e-5)
    encoder.similarity = "dot"
    assert list(task.by_meaning(encoder)["q"].values()) != list(found["q"].values())


def test_words_find_only_what_shares_one():
    task = SearchTask({"q": "fox", "none": "zebra"}, {"a": "a fox", "b": "a dog"}, {"q": {"a": 1}, "none": {"b": 1}})
    assert [list(found) for found in task.by_words().values()] == [["a"], []]
    assert task.bm25()["recall@100"] == {"q": 1.0, "none": 0.0}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "there are no documents"),
        ([Document("a", "taa tab tac")], "there is one document"),
        ([Document(f"d{n}", "taa tab  tac") for n in range(30)], "all 30 documents have the same text"),
    ],
    ids=["none", "one", "the same"],
)
def test_a_corpus_that_nothing_can_be_learned_from_is_refused(tmp_path, texts, message):
    with pytest.raises(InputError, match=message):
        train_encoder(small_encoder(), texts, Contriever(), tmp_path / "out", config())
    assert not list(tmp_path.iterdir())


def test_a_folder_of_something_else_is_not_replaced_and_nothing_is_spent(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not an encoder's folder"):
        trained(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_two_runs_of_one_folder_do_not_mix(tmp_path):
    corpus = Corpus.from_documents(documents())
    with (
        EncoderTraining(small_encoder(), corpus, Contriever(), tmp_path / "out", config()),
        pytest.raises(LockedError, match="is being written by pid"),
    ):
        trained(tmp_path / "out")


def test_a_stopped_run_is_not_begun_again_by_accident_and_goes_on_to_the_same_bytes(tmp_path):
    trained(tmp_path / "whole", texts=many(), objective=Contriever(queue=16))

    class Stopping(Contriever):
        def before_step(self, step):
            if step == 4:
                raise KeyboardInterrupt
            super().before_step(step)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "out", texts=many(), objective=Stopping(queue=16))
    assert work_folder(tmp_path / "out").is_dir()
    with pytest.raises(InputError, match=r"a run that was stopped.*--resume"):
        trained(tmp_path / "out", texts=many(), objective=Contriever(queue=16))
    train_encoder(small_encoder(), many(), Contriever(queue=16), tmp_path / "out", config(), resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not work_folder(tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_at_every_write_the_result_is_whole_and_the_run_goes_on(tmp_path):
    """Also between saving the result and removing the checkpoint."""

    def work() -> None:
        corpus = Corpus.from_documents(documents())
        job = EncoderTraining(
            small_encoder(), corpus, Contriever(), tmp_path / "out", config(steps=2, checks=1), resume=True
        )
        with job:
            job.run(seconds=0.0)

    points = count_points(work)
    whole = contents(tmp_path / "out")
    assert points > 30
    for point in range(1, points + 1):
        shutil.rmtree(tmp_path / "out")
        assert killed_at(point, work)
        if (tmp_path / "out").exists():
            assert contents(tmp_path / "out") == whole
        work()
        assert contents(tmp_path / "out") == whole, point
        assert not leftovers(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_weights_from_scratch_depend_on_texts_and_seed_only():
    texts = [each.content for each in documents()]
    size = ScratchConfig(layers=1, hidden=16, heads=2, vocabulary=200, positions=40)
    first, second = (as_trainable(encoder_from_scratch(texts, size)) for _ in range(2))
    assert first.encoder.fingerprint == second.encoder.fingerprint
    assert_same_bits(weights_of(first), weights_of(second))
    assert first.encoder.fingerprint != small_encoder(seed=1).encoder.fingerprint
    with pytest.raises(InputError, match="no words"):
        encoder_from_scratch(["", "  "], size)
    with pytest.raises(InputError, match="multiple of heads"):
        ScratchConfig(hidden=10, heads=3)

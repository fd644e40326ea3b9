"""The pages on atoms of a language model: what they show, how fast, and in a real browser."""

from __future__ import annotations

import time

import numpy as np
import pytest
from page_world import PORT, client_of
from running import running

from sememe.atoms import Atoms, Weights
from sememe.atoms.contexts import LENGTH, N_BINS, N_LOWER, N_TOP, Contexts
from sememe.atoms.detection import Detection
from sememe.atoms.logit_effects import LogitEffects
from sememe.atoms.scaling import known_sizes
from sememe.atoms.study import Study
from sememe.errors import ArtifactError
from sememe.probes.report import ProbeReport, Table
from sememe.web.app import create_study_app

pytest_plugins = ["page_fixtures"]
PIECES = {0: " the", 1: " cat", 2: "<script>alert(1)</script>", 3: "\n", 4: " 日本"}


def make_site(path, n_atoms=40, d=12, seed=0, *, labelled=True):
    """Random atoms, saved as a study keeps them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((400, d)).astype(np.float32)
    atoms = Atoms.fit(X, n_atoms, steps=30, target_active=3, batch_size=64)
    atoms.card["source"] = {"model": "tiny<model>", "site": path.name, "corpus": "made", "tokens": "all"}
    atoms.labels = [f'"<b>{j}</b>", word{j % 7}' for j in range(n_atoms)]
    score = np.where(np.arange(n_atoms) % 3 == 0, np.nan, 0.8)
    atoms.detection = Detection(score, np.where(np.isnan(score), np.nan, 0.5), np.arange(n_atoms))
    atoms.save(path)
    if not labelled:
        return
    n = N_TOP + N_LOWER
    tokens = rng.integers(-1, 5, (n_atoms, n, LENGTH)).astype(np.int32)
    tokens[:, :, LENGTH // 2 :] = 1
    documents = np.tile(np.arange(n, dtype=np.int32), (n_atoms, 1))
    ids, amounts = np.zeros((n_atoms, 8), np.int32), np.ones((n_atoms, 8), np.float32)
    contexts = Contexts(
        tokens,
        rng.random(tokens.shape).astype(np.float16) * (tokens >= 0),
        documents,
        documents.copy(),
        rng.integers(0, 9, (n_atoms, N_BINS)).astype(np.int32),
        np.ones(n_atoms, np.float32),
        PIECES,
        LogitEffects(ids, ids + 2, amounts, -amounts),
        atoms.fingerprint,
    )
    contexts.save(path.parent / "contexts" / path.name)


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study")
    for number in (2, 10):
        make_site(path / f"layers.{number}.residual", seed=number)
    make_site(path / "layers.11.mlp", seed=3, labelled=False)
    make_report(path / "probes" / "labels")
    return Study.open(path)


def make_report(path):
    """The report of a probe, with a wide table and names that must be escaped."""
    columns = ["feature", *(f"column {n}" for n in range(9))]
    rows = [["<i>topic</i>", "12.5%", *("0.123 0.456" for _ in range(8))]]
    warnings = ["'a' and 'b' are correlated"]
    facts = [("texts", "600 of t.csv")]
    table = Table("layers.2.residual", columns, rows, columns[1:])
    ProbeReport("bias", "tiny<model>", facts, [table], warnings, {"share": 0.125}, {"a.svg": "<svg/>"}).save(path)


@pytest.fixture(scope="session")
def client(study):
    return client_of(create_study_app(study, port=PORT))


def test_the_model_page_shows_every_site_in_order_with_its_figures(client, study):
    page = client.get("/")
    assert page.status_code == 200
    places = [page.text.index(f"/site/{site}") for site in ("layers.2.residual", "layers.10.residual", "layers.11.mlp")]
    assert places == sorted(places)
    assert "tiny&lt;model&gt;" in page.text
    assert f"{study.atoms('layers.2.residual').card['r2']:.3f}".replace("-", "−") in page.text
    assert "heat9" in page.text


def test_the_model_page_shows_the_reports_of_probes(tmp_path):
    make_site(tmp_path / "layers.0.residual", labelled=False)
    client = client_of(create_study_app(Study.open(tmp_path), port=PORT))
    assert "Probe" not in client.get("/").text
    make_report(tmp_path / "probes" / "labels")
    page = client.get("/").text
    for text in (
        "Probe bias: labels",
        "&lt;i&gt;topic",
        "12.5%",
        "600 of t.csv",
        "are correlated",
        "tiny&lt;model&gt;",
    ):
        assert text in page
    (tmp_path / "probes" / "labels" / "card.json").write_text("{}")
    damaged = client.get("/")
    assert damaged.status_code == 400
    assert "probes" in damaged.text


def test_the_dictionary_page_shows_certificate_and_histograms(client):
    page = client.get("/site/layers.2.residual").text
    for text in ("proved", "recovered", "uncertain", "random atoms", "How often atoms fire", "Cosine of each atom"):
        assert text in page
    assert page.count("<svg width") == 2
    assert "sememe atoms scale STUDY --sites layers.2.residual --sizes 10 20" in page


def test_the_dictionary_page_compares_sizes(tmp_path):
    make_site(tmp_path / "layers.0.residual")
    make_site(tmp_path / "scaling" / "layers.0.residual" / "20", n_atoms=20, labelled=False)
    study = Study.open(tmp_path)
    small, own = known_sizes(study, "layers.0.residual")
    assert (small.n_atoms, own.n_atoms) == (20, 40)
    page = client_of(create_study_app(study, port=PORT)).get("/site/layers.0.residual").text
    table = page[page.index("With fewer or more atoms") :]
    assert table.index(">20<") < table.index("<b>40</b>")
    assert f"{small.r2:.3f}".replace("-", "−") in table
    assert "sememe atoms scale" not in page


def test_the_list_is_searched_sorted_and_paged(client):
    page = client.get("/site/layers.2.residual/atoms?find=word3&sort=detection").text
    assert "6 atoms with" in page
    assert client.get("/site/layers.2.residual/atoms?sort=nonsense").status_code == 400
    assert "page 1" not in page


def test_an_atom_page_shades_tokens_and_escapes_them(client):
    page = client.get("/site/layers.2.residual/atom/4").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert 'class="t s9' in page
    assert "peak" in page
    assert "from lower in its range" in page
    assert "What it does to the next token" in page
    assert "shuffled labels 0.50" in page
    assert "too rare to tell" in client.get("/site/layers.2.residual/atom/3").text


def test_what_is_not_there_is_said(client, tmp_path):
    assert client.get("/site/layers.3.residual").status_code == 404
    assert client.get("/site/layers.2.residual/atom/40").status_code == 400
    assert client.get("/site/layers.2.residual/atom/x").status_code == 404
    assert client.get("/nowhere").status_code == 404
    assert "sememe atoms label" in client.get("/site/layers.11.mlp/atom/1").text
    with pytest.raises(ArtifactError):
        Study.open(tmp_path)


def test_contexts_of_other_atoms_are_refused(tmp_path):
    make_site(tmp_path / "layers.0.residual")
    make_site(tmp_path / "layers.0.residual", seed=1, labelled=False)
    client = client_of(create_study_app(Study.open(tmp_path), port=PORT))
    page = client.get("/site/layers.0.residual")
    assert page.status_code == 400
    assert "of other atoms" in page.text


@pytest.mark.slow
def test_pages_answer_within_a_second_with_32k_atoms(tmp_path):
    n, d = 32_768, 64
    rng = np.random.default_rng(0)
    decoder = rng.standard_normal((n, d)).astype(np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    zeros = np.zeros(n, np.float32)
    make_site(tmp_path / "layers.0.residual", labelled=False)
    card = Study.open(tmp_path).atoms("layers.0.residual").card
    atoms = Atoms(
        Weights(decoder, decoder, zeros, np.zeros(d, np.float32), zeros),
        rng.integers(0, 400, n),
        {**card, "source": {"model": "m", "site": "layers.0.residual", "corpus": "c"}},
        [f"label {j}" for j in range(n)],
        decoder[:, :2],
    )
    atoms.save(tmp_path / "layers.0.residual")
    shape = (n, N_TOP + N_LOWER)
    Contexts(
        np.ones((*shape, LENGTH), np.int32),
        np.ones((*shape, LENGTH), np.float16),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.int32),
        np.ones((n, N_BINS), np.int32),
        np.ones(n, np.float32),
        PIECES,
        atoms=atoms.fingerprint,
    ).save(tmp_path / "contexts" / "layers.0.residual")
    client = client_of(create_study_app(Study.open(tmp_path), port=PORT))
    client.get("/site/layers.0.residual")  # reads it once
    for address in ("", "/atoms", "/atoms?find=77&sort=number", "/atom/31000"):
        started = time.perf_counter()
        assert client.get(f"/site/layers.0.residual{address}").status_code == 200
        assert time.perf_counter() - started < 1.0, address


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_pages_in_a_browser(browser, study, width, scheme):
    complaints = []
    with running(lambda port: create_study_app(study, port=port)) as port:
        context = browser.new_context(
            base_url=f"http://127.0.0.1:{port}", viewport={"width": width, "height": 844}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for place in ("", "site/layers.2.residual", "site/layers.2.residual/atoms", "site/layers.2.residual/atom/4"):
            address = f"/{place}"
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, address
            assert page.locator("h1").count() == 1
        page.goto("/")
        with page.expect_navigation():
            page.click("a.open >> nth=0")
        with page.expect_navigation():
            page.click("text=40 atoms")
        page.fill("input[name=find]", "word3")
        with page.expect_navigation():
            page.click("text=Show")
        assert page.locator("table.list tbody tr").count() == 6
        with page.expect_navigation():
            page.click("a.open >> nth=0")
        assert page.locator(".contexts .peak").count() >= 12
        context.close()
    assert complaints == []

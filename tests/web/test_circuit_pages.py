"""The pages on a circuit: what they show, what they escape, and in a real browser."""

from __future__ import annotations

import numpy as np
import pytest
from page_world import PORT, client_of
from running import running

from sememe.circuits.circuit import Circuit
from sememe.circuits.finding import METHODS
from sememe.web.app import create_circuit_app

pytest_plugins = ["page_fixtures"]
LAYERS, HEADS, TOKENS = 4, 6, 5
N = LAYERS * HEADS


def make_circuit(*, patched=True):
    """Made-up figures for a model of 24 heads; head 2.3 is the best, 1.1 works against the answer."""
    rng = np.random.default_rng(0)
    names = ["importance", "unique_negative", "null_mean", "z", "random_projection", "mean_difference"]
    evidence = {name: rng.random(N) for name in names}
    effect = rng.standard_normal(N) * 0.01
    effect[[15, 7]] = 1.5, -0.8
    evidence |= {"attribution": effect, "reliable": np.abs(effect), "patching": effect * 1.1}
    codes = rng.integers(0, 9, (20, N)).astype(np.int32)
    codes[:10, 15] += 9
    evidence |= {"unique": np.full(N, 3.0), "total": np.full(N, 9.0), "normalised": np.full(N, 0.33)}
    evidence["null_bound"] = np.full(N, 0.4)
    if not patched:
        del evidence["patching"]
    pattern = np.tril(np.ones((TOKENS, TOKENS))) / np.arange(1, TOKENS + 1)[:, None]
    attention = [np.broadcast_to(pattern, (LAYERS, HEADS, TOKENS, TOKENS)).astype(np.float16)]
    card = {
        "model": "tiny<model>", "task": "ioi", "corruption": "third-name", "n_layers": LAYERS, "n_heads": HEADS,
        "n_pairs": 10, "seconds": {"reliable": 0.4, "published": 3.1}, "edges": [[7, 15, 4]],
        "ability": {"positive": 3.0, "negative": -1.0, "positive_right": 0.95, "negative_right": 0.1},
        "agreement": {
            name: {"auc": 0.9, "average_precision": 0.8, "precision_at_size": 0.7, "size": 2} for name in METHODS
        },
        "warnings": ["few <b>pairs</b>"],
        "examples": [
            {"tokens": ["The", " <script>alert(1)</script>", " cat", "\n", " to"], "answer": [" Mary"],
             "wrong": [" John"]}
        ],
        "faithfulness": {
            "full": 3.0, "circuit": 2.4, "empty": 0.3, "kept": 0.8, "restored": 0.78, "kl": 0.4,
            "random_kept": [0.1, -0.2], "n_pairs": 4,
        },
    }  # fmt: skip
    return Circuit(evidence, codes, attention, card if patched else {**card, "agreement": {}})


@pytest.fixture(scope="module")
def circuit():
    return make_circuit()


@pytest.fixture(scope="module")
def client(circuit):
    return client_of(create_circuit_app(circuit, port=PORT))


def test_the_first_page_shows_both_maps_and_every_head(client, circuit):
    page = client.get("/")
    assert page.status_code == 200
    assert page.text.count('class="heads"') == 2
    for layer in range(LAYERS):
        for head in range(HEADS):
            assert page.text.count(f'href="/head/{layer}.{head}"') >= 2
    assert page.text.count("member") == 2 * len(circuit.heads)
    assert ">Patching</h2>" in page.text
    assert "m9 member" in page.text
    assert 'against member" href="/head/1.1"' in page.text
    assert "tiny&lt;model&gt;" in page.text
    assert "few &lt;b&gt;pairs" in page.text
    for part in ("1.1</a> → <a", "random circuits", "Which method finds what patching finds", "80%"):
        assert part in page.text


def test_without_patching_the_papers_codes_stand_beside_ours():
    page = client_of(create_circuit_app(make_circuit(patched=False), port=PORT)).get("/").text
    assert ">The paper’s codes</h2>" in page
    assert "patched" not in page
    assert "Which method finds" not in page


def test_a_heads_page_shows_attention_and_codes(client, circuit):
    page = client.get("/head/2.3").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "in the circuit" in page
    assert page.count("<rect") == TOKENS * (TOKENS + 1) // 2
    assert page.count('<tr class="unique">') == len({*circuit.codes[:10, 15]} - {*circuit.codes[10:, 15]})
    assert "/head/2.2" in page
    assert "/head/2.4" in page
    assert "not in the circuit" in client.get("/head/0.0").text
    assert "1 <span" in page[page.index("<dt>rank") :][:60]


def test_what_is_not_there_is_said(client):
    for address in ("/head/4.0", "/head/0.6", "/head/x", "/head/1.1.1", "/nowhere"):
        assert client.get(address).status_code == 404
    assert client.post("/head/2.3").status_code in (403, 405)
    assert "content-security-policy" in client.get("/head/2.3").headers


def test_serve_opens_the_folder_that_find_kept(circuit, tmp_path, monkeypatch):
    from sememe.web import serving

    made = []
    monkeypatch.setattr(
        serving, "create_circuit_app", lambda *args, **named: made.append(args) or create_circuit_app(*args, **named)
    )
    monkeypatch.setattr(serving.uvicorn.Server, "run", lambda *args, **named: None)
    circuit.save(tmp_path / "kept")
    serving.serve(tmp_path / "kept", port=0)
    assert made[0][0].card["task"] == "ioi"


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_pages_in_a_browser(browser, circuit, width, scheme):
    complaints = []
    with running(lambda port: create_circuit_app(circuit, port=port)) as port:
        context = browser.new_context(
            base_url=f"http://127.0.0.1:{port}", viewport={"width": width, "height": 844}, color_scheme=scheme
        )
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".heads").count() == 2
        box = page.locator(".heads a.member").first.bounding_box()
        assert box["width"] >= 16
        assert box["height"] >= 14
        with page.expect_navigation():
            page.locator(".heads").first.locator("a.member").first.click()
        assert page.url.endswith("/head/2.3")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("svg.pattern rect").count() == TOKENS * (TOKENS + 1) // 2
        with page.expect_navigation():
            page.click("a[rel=next]")
        assert page.locator("h1").inner_text() == "Head 2.4"
        context.close()
    assert complaints == []

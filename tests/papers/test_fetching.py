"""Fetching addresses: what is refused, what it may cost, and where the connection goes."""

from __future__ import annotations

import datetime
import io
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest

from papers.serving import send, serving
from sememe.errors import InputError, RemoteError
from sememe.papers import fetching
from sememe.papers.fetching import FetchLimits, fetch, is_public

PUBLIC = "93.184.216.34"


class Network:
    """Names and addresses as a test wants them; every public address is the server on loopback."""

    def __init__(self, port: int = 0, names: dict[str, list[str]] | None = None):
        self.names = names or {}
        self.port = port
        self.connected: list[tuple[str, int]] = []
        self.resolved: list[str] = []

    def resolve(self, host, port):
        self.resolved.append(host)
        return self.names.get(host, [PUBLIC])

    def connect(self, address, seconds):
        self.connected.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)

    def fetch(self, url, **limits):
        target = io.BytesIO()
        fetch(url, target, limits=FetchLimits(**limits), resolve=self.resolve, connect=self.connect)
        return target.getvalue()


@contextmanager
def _sending(answer):
    with serving(answer) as server:
        yield Network(server.port)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
            "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
            "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1",
            "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::",
            "2001:0:53aa:64c:0:0:80ff:fffe", "not an address",
        ],
    )  # fmt: skip
    def test_addresses_that_are_not_public(self, address):
        assert not is_public(address)
        network = Network(names={"example.org": [PUBLIC, address]})
        with pytest.raises(InputError, match="not a public address"):
            network.fetch("https://example.org/feed")
        assert network.connected == []

    @pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8"])
    def test_public_addresses(self, address):
        assert is_public(address)

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd", "ftp://example.org/x", "gopher://example.org/", "http://", "https:///x", "http://[::1",
            "http://example.org:99999/", "http://example.org:0/", "http://user:pass@example.org/", "http://a b/",
            "http://example.org/\r\nHost: x", "javascript://example.org/%0aalert(1)", "data://x",
        ],
    )  # fmt: skip
    def test_addresses_of_other_kinds(self, url):
        network = Network()
        with pytest.raises(InputError):
            network.fetch(url)
        assert network.connected == network.resolved == []

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/",
            "http://localhost/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://127.1/",
        ],
    )
    def test_loopback_by_any_name_as_this_machine_resolves_it(self, url):
        with pytest.raises((InputError, RemoteError), match=r"not a public address|cannot be found"):
            fetch(url, io.BytesIO())

    @pytest.mark.parametrize(
        "location",
        ["http://inner.example/", "//inner.example/x", "http://127.0.0.1/", "http://[::1]/", "file:///etc/passwd"],
    )
    def test_a_redirect_into_the_network(self, location):
        with serving(lambda handler: send(handler, status=302, Location=location)) as server:
            names = {"inner.example": ["192.168.0.1"], "127.0.0.1": ["127.0.0.1"], "::1": ["::1"]}
            network = Network(server.port, names)
            with pytest.raises(InputError):
                network.fetch("http://example.org/")
            assert network.connected == [(PUBLIC, 80)]

    def test_a_name_that_changes_its_address_is_asked_once(self):
        """Rebinding: the connection goes to the address that was checked, never to the name."""
        with serving(lambda handler: send(handler, b"yes")) as server:
            network = Network(server.port)
            answers = iter([[PUBLIC], ["127.0.0.1"]])
            network.resolve = lambda host, port: next(answers)
            assert network.fetch("http://example.org/") == b"yes"
            assert network.connected == [(PUBLIC, 80)]
            assert server.hosts == ["example.org"]


class TestWhatComesBack:
    def test_a_redirect_is_followed(self):
        def answer(handler):
            if handler.path == "/new?q=a%20b":
                send(handler, b"here")
            else:
                send(handler, status=301, Location="/new?q=a b")

        with serving(answer) as server:
            assert Network(server.port).fetch("http://example.org:8080/old") == b"here"
            assert server.hosts == ["example.org:8080"] * 2

    def test_redirects_without_end(self):
        with serving(lambda handler: send(handler, status=302, Location="/again")) as server:
            with pytest.raises(RemoteError, match="more than 3 times"):
                Network(server.port).fetch("http://example.org/", redirects=3)
            assert len(server.paths) == 4

    def test_an_answer_that_is_too_large(self):
        with (
            serving(lambda handler: send(handler, b"x" * 100_000)) as server,
            pytest.raises(InputError, match="larger than 50,000 bytes"),
        ):
            Network(server.port).fetch("http://example.org/", n_bytes=50_000)

    def test_an_answer_that_lies_about_its_length(self):
        with (
            serving(lambda handler: send(handler, b"short", Content_Length="500")) as server,
            pytest.raises(RemoteError, match="cannot be fetched"),
        ):
            Network(server.port).fetch("http://example.org/")

    def test_an_error_of_the_server(self):
        with (
            serving(lambda handler: send(handler, b"gone", status=404)) as server,
            pytest.raises(RemoteError, match="answers 404"),
        ):
            Network(server.port).fetch("http://example.org/")

    @pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nsome"])
    def test_a_server_that_stops_in_the_middle(self, begins):
        """It sends a little and then nothing, and does not hang up: the limit on the whole fetch ends it."""
        over = threading.Event()

        def answer(handler):
            handler.wfile.write(begins)
            handler.wfile.flush()
            over.wait(60)

        with serving(answer) as server:
            try:
                with pytest.raises(RemoteError, match="takes too long"):
                    Network(server.port).fetch("http://example.org/", seconds=0.3)
            finally:
                over.set()

    def test_nobody_answers(self):
        network = Network()
        with pytest.raises(RemoteError, match="cannot be fetched"):
            network.fetch("http://example.org/")

    def test_an_unknown_name(self):
        with pytest.raises(RemoteError, match="cannot be found"):
            fetching.resolve("name.invalid", 80)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for example.org, and a file that makes this process trust it."""
    x509 = pytest.importorskip("cryptography.x509", reason="needs the package cryptography (the pdf extra)")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "example.org")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("example.org")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


class TestTls:
    def test_the_certificate_must_be_the_names_though_the_connection_goes_to_a_number(self, authority, monkeypatch):
        file, context = authority
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with serving(lambda handler: send(handler, b"secret"), context) as server:
            network = Network(server.port)
            assert network.fetch("https://example.org/x") == b"secret"
            assert (network.connected, server.hosts) == ([(PUBLIC, 443)], ["example.org"])
            with pytest.raises(RemoteError, match="certificate"):
                network.fetch("https://other.org/x")
            assert len(server.paths) == 1

    def test_a_certificate_that_nobody_vouches_for(self, authority, monkeypatch):
        monkeypatch.setenv("SSL_CERT_FILE", str(authority[0].parent / "none.pem"))
        with serving(lambda handler: send(handler, b"x"), authority[1]) as server:
            with pytest.raises(RemoteError, match="certificate"):
                Network(server.port).fetch("https://example.org/")
            assert server.paths == []

    def test_a_server_that_never_shakes_hands(self):
        silent = socket.create_server(("127.0.0.1", 0))
        with silent, pytest.raises(RemoteError, match="takes too long"):
            Network(silent.getsockname()[1]).fetch("https://example.org/", seconds=0.3)

    def test_a_server_that_stops_in_the_middle(self, authority, monkeypatch):
        file, context = authority
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        over = threading.Event()

        def answer(handler):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\nsome")
            handler.wfile.flush()
            over.wait(60)

        with serving(answer, context) as server:
            try:
                with pytest.raises(RemoteError, match="takes too long"):
                    Network(server.port).fetch("https://example.org/", seconds=2)
            finally:
                over.set()

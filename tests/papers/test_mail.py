"""Handing e-mail over to a real server: encrypted, verified, logged in; and what became of it, told apart."""

from __future__ import annotations

import pickle
from email.message import EmailMessage

import pytest
from mail_server import Mailbox, mail_server, make_certificate

from sememe.errors import InputError, RemoteError
from sememe.papers.mail import MailConfig, Outbox, Secret, SmtpServer, UncertainDelivery

CANARY = "canary-7f3a-password"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"), "127.0.0.1", "localhost")


@pytest.fixture
def message():
    message = EmailMessage()
    message["From"] = "papers@example.org"
    message["To"] = "me@example.org"
    message["Subject"] = "Twelve papers"
    message.set_content("Größe\n.\n.. a line with dots\n")
    return message


def config(mailbox, **options):
    given = {"smtp": f"127.0.0.1:{mailbox.port}", "security": "none", "sender": "papers@example.org"}
    return MailConfig(**{**given, **options})


def test_a_message_arrives_as_it_was(message):
    with mail_server(Mailbox()) as mailbox:
        SmtpServer(config(mailbox)).send(message, "d1")
    ((recipients, got),) = mailbox.messages
    assert recipients == ["me@example.org"]
    assert got["Subject"] == "Twelve papers"
    assert got.get_content().splitlines() == ["Größe", ".", ".. a line with dots"]


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_the_connection_is_encrypted_and_logged_in(message, certificate, how, monkeypatch):
    pem, context = certificate
    monkeypatch.setenv("SEMEME_SMTP_PASSWORD", CANARY)
    with mail_server(Mailbox(), **{how: context}, password=CANARY if how == "starttls" else None) as mailbox:
        user = "papers@example.org" if how == "starttls" else ""
        SmtpServer(config(mailbox, security=how, user=user, ca_file=str(pem))).send(message, "d1")
    assert len(mailbox.messages) == 1
    assert mailbox.secure == [True] or how == "tls"
    if how == "starttls":
        assert mailbox.logins[0][1:] == (b"papers@example.org", CANARY.encode())


def test_a_certificate_that_nobody_vouches_for_is_refused(message, certificate):
    _, context = certificate
    for how in ("starttls", "tls"):
        with mail_server(Mailbox(), **{how: context}) as mailbox:
            with pytest.raises(RemoteError, match="certificate cannot be trusted") as caught:
                SmtpServer(config(mailbox, security=how)).send(message, "d1")
            assert "--ca-file" in caught.value.hint
        assert mailbox.messages == []


def test_a_certificate_for_another_name_is_refused(message, tmp_path):
    pem, context = make_certificate(tmp_path, "mail.elsewhere.example")
    with (
        mail_server(Mailbox(), starttls=context) as mailbox,
        pytest.raises(RemoteError, match="certificate cannot be trusted"),
    ):
        SmtpServer(config(mailbox, security="starttls", ca_file=str(pem))).send(message, "d1")
    assert mailbox.messages == []


def test_without_starttls_nothing_is_sent(message, monkeypatch):
    monkeypatch.setenv("SEMEME_SMTP_PASSWORD", CANARY)
    with mail_server(Mailbox()) as mailbox, pytest.raises(RemoteError, match="does not offer"):
        SmtpServer(config(mailbox, security="starttls", user="me@example.org")).send(message, "d1")
    assert mailbox.logins == mailbox.messages == []


def test_a_server_that_dies_after_the_message_leaves_it_uncertain(message):
    with mail_server(Mailbox(die="after")) as mailbox, pytest.raises(UncertainDelivery) as caught:
        SmtpServer(config(mailbox)).send(message, "d1")
    assert caught.value.where == "d1"
    assert len(mailbox.messages) == 1  # and that is why it must not be sent again


@pytest.mark.parametrize("trouble", [{"die": "before"}, {"refuse": "rcpt"}, {"refuse": "data"}])
def test_what_was_certainly_not_accepted_is_told_apart(message, trouble):
    with mail_server(Mailbox(**trouble)) as mailbox, pytest.raises(RemoteError) as caught:
        SmtpServer(config(mailbox)).send(message, "d1")
    assert not isinstance(caught.value, UncertainDelivery)
    assert mailbox.messages == []
    assert "\x07" not in str(caught.value)


def test_no_server_there(message):
    with mail_server(Mailbox()) as mailbox:
        pass
    with pytest.raises(RemoteError, match="refused"):
        SmtpServer(config(mailbox)).send(message, "d1")


def test_the_password_is_in_no_error_and_no_log(message, certificate, monkeypatch, caplog, capfd, tmp_path):
    pem, context = certificate
    monkeypatch.setenv("SEMEME_SMTP_PASSWORD", CANARY)
    with caplog.at_level("DEBUG"), mail_server(Mailbox(), starttls=context, password="another") as mailbox:
        settings = config(mailbox, security="starttls", user="me@example.org", ca_file=str(pem))
        with pytest.raises(RemoteError, match="login was refused") as caught:
            SmtpServer(settings).send(message, "d1")
    assert mailbox.logins  # it was really sent to the server
    said = [str(caught.value), repr(caught.value), repr(caught.value.as_dict()), repr(settings)]
    # The server runs in this process too, and what it logs is its own affair.
    said += [record.getMessage() for record in caplog.records if record.name != "mail.log"]
    said += [*capfd.readouterr(), repr(settings.password()), str(Secret(CANARY)), f"{Secret(CANARY)!r:>40}"]
    assert CANARY not in "\n".join(said)
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError):
        pickle.dumps(Secret(CANARY))


def test_the_password_may_be_in_a_file(tmp_path, monkeypatch):
    monkeypatch.delenv("SEMEME_SMTP_PASSWORD", raising=False)
    file = tmp_path / "password"
    file.write_text(f"{CANARY}\r\nand a remark\n")
    assert MailConfig("mail.example.org", password_file=str(file)).password().reveal() == CANARY
    file.write_text("\n")
    with pytest.raises(InputError, match="no password"):
        MailConfig("mail.example.org", password_file=str(file)).password()
    file.write_text("naïve")
    with pytest.raises(InputError, match="letters") as caught:
        MailConfig("mail.example.org", password_file=str(file)).password()
    assert "naïve" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be read"):
        MailConfig("mail.example.org", password_file=str(tmp_path / "none")).password()
    with pytest.raises(InputError, match="SEMEME_SMTP_PASSWORD"):
        MailConfig("mail.example.org").password()


@pytest.mark.parametrize("place", ["", ":25", "host:", "host:0", "host:99999", "host:abc"])
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(InputError, match="no mail server"):
        MailConfig(place)


def test_places_and_their_ports():
    assert MailConfig("mail.example.org").place == ("mail.example.org", 587)
    assert MailConfig("mail.example.org", security="tls").place == ("mail.example.org", 465)
    assert MailConfig("[::1]:2525", security="none").place == ("::1", 2525)
    assert MailConfig("::1", security="none").place == ("::1", 25)


def test_a_password_is_not_sent_in_the_clear():
    with pytest.raises(InputError, match="anyone can read"):
        MailConfig("mail.example.org", security="none", user="me@example.org")


def test_the_sender_is_an_address():
    assert MailConfig("h", user="me@example.org").from_address == "me@example.org"
    assert MailConfig("h", user="me", sender="x@Example.ORG").from_address == "x@example.org"
    for options in ({}, {"user": "me"}, {"sender": "a@b\r\nBcc: c@d"}):
        with pytest.raises(InputError):
            _ = MailConfig("h", **options).from_address


def test_a_message_as_a_file(message, tmp_path):
    path = Outbox(tmp_path / "new" / "out").send(message, "d1")
    assert path.endswith("d1.eml")
    data = (tmp_path / "new" / "out" / "d1.eml").read_bytes()
    assert b"Subject: Twelve papers" in data

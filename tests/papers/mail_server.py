"""A real mail server on the loopback address, with a throwaway certificate, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import email
import email.policy
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass, field

import pytest

aiosmtpd_smtp = pytest.importorskip("aiosmtpd.smtp", reason="needs the package aiosmtpd (the dev extra)")


@dataclass
class Mailbox:
    """What the server took in, and how it misbehaves.

    Attributes:
        die: cut the connection "before" it answers to MAIL, or "after" it has all of the message.
        refuse: the answer to the recipient ("rcpt") or to the message ("data") is a refusal.
    """

    messages: list = field(default_factory=list)
    logins: list = field(default_factory=list)
    secure: list = field(default_factory=list)
    die: str = ""
    refuse: str = ""
    port: int = 0
    password: str = ""

    async def handle_MAIL(self, server, session, envelope, address, options):
        self.secure.append(session.ssl is not None)
        if self.die == "before":
            server.transport.abort()
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuse == "rcpt":
            return "550 no such\x07 user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.refuse == "data":
            return "554 no thanks"
        self.messages.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.SMTP)))
        if self.die == "after":
            server.transport.abort()
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((mechanism, data.login, data.password))
        ok = data.password == self.password.encode()
        # A careless server that repeats what it was sent: no error of ours may pass that on.
        message = None if ok else f"535 wrong password {data.password.decode()}"
        return aiosmtpd_smtp.AuthResult(success=ok, handled=ok or False, message=message)


@contextlib.contextmanager
def mail_server(mailbox, *, starttls=None, tls=None, password=None):
    """Serve a mailbox until the block ends; its port is then `mailbox.port`."""
    options = {"hostname": "mail.test", "tls_context": starttls, "require_starttls": starttls is not None}
    if password is not None:
        mailbox.password = password
        options |= {"authenticator": mailbox.authenticate, "auth_required": True}
        options["auth_require_tls"] = starttls is not None
    started, loop = threading.Event(), asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mailbox.port = listener.getsockname()[1]

        async def serve():
            def protocol():
                return aiosmtpd_smtp.SMTP(mailbox, loop=loop, **options)

            server = await loop.create_server(protocol, sock=listener, ssl=tls)
            started.set()
            return server

        def run():
            asyncio.set_event_loop(loop)
            server = loop.run_until_complete(serve())
            loop.run_forever()
            server.close()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert started.wait(20), "the mail server does not start"
        try:
            yield mailbox
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)


def make_certificate(folder, *names):
    """A self-signed certificate for these names; returns the file to trust and the server's TLS context."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "throwaway")])
    now = datetime.datetime.now(datetime.UTC)
    alternative = [_general_name(x509, text) for text in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{names[0]}.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file = folder / f"{names[0]}.key"
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key_file)
    return pem, context


def _general_name(x509, text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)

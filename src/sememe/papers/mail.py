"""Handing an e-mail over: to a server (SMTP with STARTTLS or TLS, certificates verified) or to a file.

What became of a message is one of three things, and each has its own ending: it was accepted (the call returns), it
certainly was not (`RemoteError`), or nobody knows (`UncertainDelivery`: the server had all of it and did not answer).
"""

from __future__ import annotations

import os
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Literal

from sememe import disk
from sememe.errors import ArtifactError, InputError, RemoteError
from sememe.papers.addresses import address_of
from sememe.papers.safe_text import header_text

Security = Literal["starttls", "tls", "none"]
PORTS = {"starttls": 587, "tls": 465, "none": 25}
TIMEOUT_SECONDS = 30.0
PASSWORD_VARIABLE = "SEMEME_SMTP_PASSWORD"  # noqa: S105  (its name, not its value)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class UncertainDelivery(RemoteError):  # noqa: N818  (an outcome that callers tell apart by name)
    """The server had received the whole message when the connection broke; it may have been delivered."""

    kind = "uncertain-delivery"


class Secret:
    """A text that never shows itself: only `reveal` gives it away."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """The text, for the one call that needs it."""
        return self.__text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True)
class MailConfig:
    """Where e-mail is handed over, and as whom."""

    smtp: str = field(default="", metadata={"help": "the mail server, HOST or HOST:PORT"})
    security: Security = field(
        default="starttls",
        metadata={"help": "how the connection is protected", "choices": ("starttls", "tls", "none")},
    )
    user: str = field(default="", metadata={"help": "the name to log in with; without it there is no login"})
    sender: str = field(default="", metadata={"help": "the From address (default: the user, if that is an address)"})
    ca_file: str = field(default="", metadata={"help": "certificates to trust instead of the system's (PEM)"})
    password_env: str = field(
        default=PASSWORD_VARIABLE, metadata={"help": "the environment variable that holds the password"}
    )
    password_file: str = field(default="", metadata={"help": "a file whose first line is the password"})

    def __post_init__(self) -> None:
        host, port = self.place
        if not host or not 0 < port < 65536:
            hint = "Give HOST or HOST:PORT, such as mail.example.org:587"
            raise InputError(f"{self.smtp!r} is no mail server", where="--smtp", hint=hint)
        if self.user and self.security == "none" and host not in _LOCAL:
            raise InputError(
                "a password is not sent over a connection that anyone can read",
                where="--security none",
                hint="Use --security starttls or tls, or leave --user out",
            )

    @property
    def place(self) -> tuple[str, int]:
        """Host and port; port 0 when what was given is none."""
        host, separator, port = self.smtp.rpartition(":")
        if not separator or self.smtp.endswith("]") or (":" in host and not host.startswith("[")):
            return self.smtp.strip("[]"), PORTS[self.security]
        return host.strip("[]"), int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0

    @property
    def from_address(self) -> str:
        """The sender.

        Raises:
            InputError: neither `sender` nor `user` is an address.
        """
        if not self.sender and "@" not in self.user:
            raise InputError("an e-mail needs a sender", where="--sender", hint="Such as --sender papers@example.org")
        return address_of(self.sender or self.user, where="--sender")

    def password(self) -> Secret:
        """The password, read when it is needed.

        Raises:
            InputError: there is none, or its file cannot be read.
        """
        if not self.password_file:
            text = os.environ.get(self.password_env, "")
            where, hint = "--user", f"Put the password into the environment variable {self.password_env}, or a file"
        else:
            where, hint = self.password_file, "Put the password into its first line"
            try:
                text = Path(self.password_file).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not a text"
                raise InputError(f"the password cannot be read ({reason})", where=where, hint=hint) from None
        if not text:
            raise InputError("there is no password to log in with", where=where, hint=hint)
        if not text.isascii():  # SMTP's ways to log in take no other, and the library's complaint would show it
            raise InputError("the password has letters that mail servers do not take", where=where)
        return Secret(text)


@dataclass(frozen=True)
class Outbox:
    """Messages as files instead of e-mails: one `.eml` each, which mail programs open.

    Attributes:
        folder: where they are written; made when it is missing.
    """

    folder: Path

    def send(self, message: EmailMessage, name: str) -> str:
        """Write a message; returns the path of its file.

        Raises:
            ArtifactError: it cannot be written.
            UncertainDelivery: it is there, but the disk did not say that it will stay.
        """
        path = self.folder / f"{name}.eml"
        disk.make_folder(self.folder)
        try:
            disk.write_file(path, _wire(message))
        except ArtifactError as error:
            if path.exists():
                raise UncertainDelivery(error.message, where=error.where, hint=error.hint) from None
            raise
        return str(path)


@dataclass(frozen=True)
class SmtpServer:
    """A mail server; a connection a message, so that a slow digest cannot let an open one die."""

    config: MailConfig

    def send(self, message: EmailMessage, name: str) -> str:
        """Hand a message over; returns the server's name.

        Args:
            message: from and to are those of its headers.
            name: of the message, for errors.

        Raises:
            RemoteError: the message was certainly not accepted.
            UncertainDelivery: the connection broke after the message was sent and before it was accepted.
            InputError: the password is missing.
        """
        sender, recipient = (message[header].addresses[0].addr_spec for header in ("From", "To"))
        smtp = self._connect()
        try:
            self._offer(smtp, sender, recipient)
            self._hand_over(smtp, _wire(message), name)
        finally:
            _quit(smtp)
        return self.config.place[0]

    def _connect(self) -> smtplib.SMTP:
        """A connection that is encrypted and logged in, as the configuration says; never less than that."""
        host, port = self.config.place
        where = f"{host}:{port}"
        try:
            context = ssl.create_default_context(cafile=self.config.ca_file or None)
        except (OSError, ssl.SSLError):
            raise InputError("no certificates can be read from there", where=self.config.ca_file) from None
        smtp: smtplib.SMTP | None = None
        try:
            if self.config.security == "tls":
                smtp = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
            else:
                smtp = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
            if self.config.security == "starttls":
                smtp.starttls(context=context)
            if self.config.user:
                smtp.login(self.config.user, self.config.password().reveal())
        except BaseException as error:
            if smtp is not None:
                smtp.close()
            if isinstance(error, smtplib.SMTPException | OSError):
                # The server's own words could repeat what it was sent, so a refused login is told without them.
                raise RemoteError(_reason(error), where=where, hint=_hint(error)) from None
            raise
        return smtp

    def _offer(self, smtp: smtplib.SMTP, sender: str, recipient: str) -> None:
        try:
            smtp.ehlo_or_helo_if_needed()
            for reply in (smtp.mail(sender), smtp.rcpt(recipient)):
                if reply[0] not in (250, 251):
                    raise smtplib.SMTPResponseException(*reply)
        except (smtplib.SMTPException, OSError) as error:
            raise RemoteError(f"the message was not accepted ({_reason(error)})", where=recipient) from None

    def _hand_over(self, smtp: smtplib.SMTP, data: bytes, name: str) -> None:
        try:
            code, words = smtp.data(data)
        except smtplib.SMTPDataError as error:  # refused before any of it was sent
            raise RemoteError(f"the message was not accepted ({_reason(error)})", where=name) from None
        except (smtplib.SMTPException, OSError) as error:
            raise UncertainDelivery(
                f"the server may or may not have taken the message ({_reason(error)})",
                where=name,
                hint="It is not sent again; ask the recipient, or look into the server's log",
            ) from None
        if code != 250:
            refusal = _reason(smtplib.SMTPResponseException(code, words))
            raise RemoteError(f"the message was not accepted ({refusal})", where=name)


def _wire(message: EmailMessage) -> bytes:
    """The message with the line ends that SMTP demands; with others a line of one dot would not arrive as it is."""
    return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))


def _quit(smtp: smtplib.SMTP) -> None:
    """Take leave; the message's fate is known by now, so nothing that goes wrong here matters."""
    try:
        smtp.quit()
    except (smtplib.SMTPException, OSError):
        smtp.close()


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"the login was refused (code {error.smtp_code})"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the server does not offer what is asked for: STARTTLS, or a way to log in"
    if isinstance(error, smtplib.SMTPResponseException):
        words = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"{error.smtp_code} {header_text(str(words))}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate cannot be trusted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return header_text(str(error)) or type(error).__name__


def _hint(error: Exception) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "Name the server as its certificate does, or give its authority with --ca-file"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "Check --user and the password"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "Check --smtp and --security"
    return None

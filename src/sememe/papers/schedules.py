"""Lines for the schedulers that a machine has already, for those who do not want a process of ours to stay."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Sequence


def cron_line(command: Sequence[str], at: datetime.time) -> str:
    """A line for `crontab -e` that does one round a day."""
    # A percent sign ends a command in a crontab.
    return f"{at.minute} {at.hour} * * * {shlex.join([*command, '--once'])}".replace("%", "\\%")


def systemd_unit(command: Sequence[str], folder: str, password_variable: str) -> str:
    """A user unit that keeps the watch running; the password comes from a file that only systemd reads out."""
    words = " ".join(_quoted(word) for word in command)
    return (
        "# ~/.config/systemd/user/sememe-papers.service; then: systemctl --user enable --now sememe-papers\n"
        "[Unit]\n"
        "Description=Sememe papers\n"
        "\n"
        "[Service]\n"
        f"WorkingDirectory={folder}\n"
        f"# a file with the line {password_variable}=..., readable by you only\n"
        "EnvironmentFile=-%h/.config/sememe/password\n"
        f"ExecStart={words}\n"
        "Restart=on-failure\n"
        "RestartSec=60\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


def _quoted(word: str) -> str:
    """A word of ExecStart: systemd has escapes of its own, and expands % and $."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not escaped or any(letter in escaped for letter in " \t'\"\\;#") else escaped

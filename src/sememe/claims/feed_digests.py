"""Digests that are killed at random, to see whether any paper is sent twice.

A child process claims papers for an address in a real store, hands the mail over, and writes down what came of it,
again and again, until its parent kills it (SIGKILL). The next child goes on with the same store. Handing over is a line
appended to a file that no kill takes back, as little as a mail that a server has taken.

Every other child is stopped between claiming and writing down, before or after the mail is handed over, and killed
there; the others are killed while they run, some milliseconds after a random step.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sememe.papers import Paper, PaperStore

N_PAPERS = 60
AT_MOST = 5
"""Papers of a digest."""
KILLS_PER_ADDRESS = 5
MOST_DIGESTS, LONGEST_SECONDS = 4, 0.004
MAILBOX = "mailbox"


@dataclass(frozen=True)
class Killed:
    """What the killed digests left behind.

    Attributes:
        trials: children killed.
        in_the_middle: of them, how many left a digest that had been claimed and not finished.
        mails: papers handed over, one count for each address.
        twice: of them, those that an address had already.
        lost: papers claimed for an address that were never handed over.
        said_sent: papers of digests that the store calls sent and that were never handed over.

    """

    trials: int
    in_the_middle: int
    mails: int
    twice: int
    lost: int
    said_sent: int


def kill_digests(folder: Path, trials: int, seed: int) -> Killed:
    """Kill a sender of digests at `trials` random moments and count what arrived.

    Args:
        folder: an empty folder for the store and the mailbox.
        trials: how many children are killed.
        seed: of the moments and the digests.

    """
    ids = [f"arxiv:2601.{number:05d}" for number in range(N_PAPERS)]
    with PaperStore.open(folder, create=True) as store:
        store.add(Paper(id, f"Paper {number} of a digest", abstract="text") for number, id in enumerate(ids))
    rng = random.Random(seed)
    addresses = [f"reader{number}@example.org" for number in range(-(-trials // KILLS_PER_ADDRESS))]
    for trial in range(trials):
        _kill_one(folder, addresses[trial // KILLS_PER_ADDRESS], ids, rng, trial)
    return _count(folder, addresses, trials)


def send_digests(
    folder: Path, address: str, ids: Sequence[str], rng: random.Random, step: Callable[[], object]
) -> None:
    """Send digests until killed, the way the product does: claim, hand over, write down; tell before each step."""
    with PaperStore.open(folder) as store:
        while True:
            digest = f"{address}-{rng.getrandbits(64):016x}"
            step()
            claimed = store.claim_for_sending(address, rng.sample(list(ids), AT_MOST), digest)
            step()
            hand_over(folder, address, claimed)
            step()
            store.finish_sending(digest, ok=True)


def hand_over(folder: Path, address: str, ids: Sequence[str]) -> None:
    """The mail leaves: one line a paper, all in one write that is done or not done."""
    line = "".join(f"{address} {id}\n" for id in ids).encode()
    descriptor = os.open(folder / MAILBOX, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _kill_one(folder: Path, address: str, ids: Sequence[str], rng: random.Random, trial: int) -> None:
    steps, tell = os.pipe()
    is_stopped, seed, wait = trial % 2 == 0, rng.getrandbits(64), rng.uniform(0, LONGEST_SECONDS)
    # Of each digest's three steps the second stands before the mail leaves, the third after it.
    step = 2 + trial // 2 % 2 if is_stopped else rng.randint(1, 3)
    last = 3 * rng.randrange(MOST_DIGESTS) + step
    child = os.fork()
    if child == 0:
        try:
            os.close(steps)
            send_digests(folder, address, ids, random.Random(seed), _steps(tell, last if is_stopped else None))
        finally:
            os._exit(1)
    os.close(tell)
    for _ in range(last):
        if not os.read(steps, 1):
            break  # it ended by itself, which `waitpid` tells
    if not is_stopped:
        time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.close(steps)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("a sender ended before it was killed")


def _steps(tell: int, stop_at: int | None) -> Callable[[], None]:
    """What a child calls before each step: it tells its parent, and at `stop_at` waits to be killed."""
    taken = itertools.count(1)

    def step() -> None:
        os.write(tell, b".")
        if next(taken) == stop_at:
            signal.pause()

    return step


def _count(folder: Path, addresses: Sequence[str], trials: int) -> Killed:
    mailbox = folder / MAILBOX
    arrived = Counter(mailbox.read_text().splitlines() if mailbox.exists() else [])
    lost = said_sent = unfinished = 0
    with PaperStore.open(folder) as store:
        for address in addresses:
            for digest in store.sent(address):
                missing = sum(f"{address} {id}" not in arrived for id in digest.papers)
                lost += missing
                said_sent += missing if digest.ok else 0
                unfinished += digest.finished is None
    twice = sum(count - 1 for count in arrived.values())
    return Killed(trials, unfinished, sum(arrived.values()), twice, lost, said_sent)

"""A study: atoms of several sites of one language model, harvested in one pass and learned one after another.

On disk: `PATH/SITE` holds the atoms, `PATH/banks/SITE` the activations and, once the atoms were labelled,
`PATH/contexts/SITE` where they fire; `PATH/checkpoints/SITE` is there while a site is being learned. A run that was
stopped goes on where it was.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sememe.artifact import CARD
from sememe.atoms.atoms import Atoms
from sememe.atoms.autoencoder import SparseAutoencoder
from sememe.atoms.checkpoint import remove_checkpoint
from sememe.atoms.coders import CODERS
from sememe.atoms.config import AtomsConfig, default_atoms
from sememe.atoms.contexts import Contexts
from sememe.atoms.training import n_steps, take_step
from sememe.bank import Bank, harvest_sites
from sememe.bank.encoding import STORED
from sememe.errors import ArtifactError, InputError
from sememe.extras import require

if TYPE_CHECKING:
    from sememe.corpus import Corpus
    from sememe.models import LanguageModel

BANKS, CONTEXTS, CHECKPOINTS = "banks", "contexts", "checkpoints"
COMMIT_EVERY = 64  # documents: what a killed harvest loses at most
PROBED_DOCUMENTS = 16
COUNTED_DOCUMENTS = 20_000


@dataclass(frozen=True)
class Plan:
    """What a study would cost, before it starts.

    Attributes:
        sites: the sites, in network order.
        tokens: how many vectors each site would give.
        n_atoms: how many atoms each dictionary would have.
        harvest_seconds: for the one pass of the model, from timing it on the first documents.
        learn_seconds: for learning all dictionaries, from timing one step; certificates come on top.
        disk_bytes: of all banks and atoms.
        memory_bytes: at most at once, beside the model: one site's vectors, its dictionary and the optimiser's state.
        disk_free: bytes that are free where the study would be.
    """

    sites: list[str]
    tokens: int
    n_atoms: int
    harvest_seconds: float
    learn_seconds: float
    disk_bytes: int
    memory_bytes: int
    disk_free: int

    def check(self) -> None:
        """Refuse what cannot end well.

        Raises:
            InputError: there is not enough room on the disk.
        """
        if self.disk_bytes > self.disk_free:
            raise InputError(
                f"the study needs {self.disk_bytes / 2**30:.1f} GiB of disk and {self.disk_free / 2**30:.1f} are free",
                hint="Take fewer sites or documents, or --dtype float16",
            )


@dataclass(frozen=True)
class Study:
    """A folder with the atoms of several sites.

    Attributes:
        path: the folder.
        sites: the sites that have atoms, in the order of their names' numbers.
    """

    path: Path
    sites: list[str]

    @classmethod
    def open(cls, path: str | Path) -> Study:
        """Find the atoms in a folder.

        Raises:
            ArtifactError: there are none.
        """
        path = Path(path)
        found = [place.name for place in path.iterdir() if (place / CARD).is_file()] if path.is_dir() else []
        if not found:
            raise ArtifactError("holds no atoms of sites", where=str(path), hint="Make some: sememe atoms learn MODEL")
        return cls(path, sorted(found, key=_natural))

    def atoms(self, site: str) -> Atoms:
        """The atoms of a site.

        Raises:
            InputError: the study has none for it.
        """
        if site not in self.sites:
            raise InputError(f"the study has no site {site!r}", where=str(self.path), hint=", ".join(self.sites))
        return Atoms.load(self.path / site)

    def contexts_path(self, site: str) -> Path:
        """Where the contexts of a site's atoms are, once they were labelled."""
        return self.path / CONTEXTS / site

    def contexts(self, site: str) -> Contexts | None:
        """Where the atoms of a site fire; None before they were labelled.

        Raises:
            ArtifactError: they are damaged, or of other atoms.
        """
        path = self.contexts_path(site)
        return contexts_of(self.atoms(site), path) if path.is_dir() else None

    def bank(self, site: str) -> Bank:
        """The activations that the atoms of a site were learned from."""
        return Bank.open(self.path / BANKS / site)

    @staticmethod
    def learn(bank: Bank, path: Path, config: AtomsConfig) -> Atoms:
        """The atoms of one bank: those that are there if they are of the same run, else learned and saved.

        Raises:
            ArtifactError: those that are there were learned with other options or vectors.
        """
        wanted = {**SparseAutoencoder(**vars(config)).get_params(), "bank": bank.fingerprint}
        if (path / CARD).is_file():
            atoms = Atoms.load(path)
            found = {**atoms.card.get("parameters", {}), "bank": atoms.card.get("source", {}).get("bank")}
            differing = [name for name in wanted if found.get(name) != wanted[name]]
            if differing:
                raise ArtifactError(
                    f"holds atoms that were learned with other options or vectors ({', '.join(differing)})",
                    where=str(path),
                    hint="Choose another path, or remove the folder",
                )
            return atoms
        checkpoint = path.parent / CHECKPOINTS / path.name
        atoms = Atoms.fit(bank, config=config, checkpoint=checkpoint)
        atoms.save(path)
        remove_checkpoint(checkpoint)
        return atoms


def contexts_of(atoms: Atoms, path: Path) -> Contexts:
    """Read contexts and check that they are of these atoms.

    Raises:
        ArtifactError: they are missing, damaged, or of other atoms.
    """
    contexts = Contexts.load(path)
    if contexts.atoms != atoms.fingerprint:
        raise ArtifactError(
            "the contexts are of other atoms", where=str(path), hint="Make them again: sememe atoms label STUDY"
        )
    return contexts


def learn_sites(
    lm: LanguageModel,
    corpus: Corpus,
    sites: str | list[str],
    path: str | Path,
    *,
    config: AtomsConfig,
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> Iterator[tuple[str, Atoms]]:
    """Harvest sites in one pass and learn the atoms of each, which are saved before they are given out.

    Each document's first token is left out: models use it as a place to attend to, and its vectors are alike and up to
    a thousand times longer than others (spec of the inner product: they alone would decide it).

    Args:
        lm: the language model.
        corpus: the documents.
        sites: names or patterns, such as `layers.*.residual`.
        path: the folder of the study.
        config: how to learn.
        dtype: how the banks store numbers.
        max_tokens: cut longer documents to so many tokens.

    Raises:
        InputError: there is no such site, or an option cannot be used.
        ArtifactError: the folder holds a study of another model, corpus or configuration.
    """
    config.check()
    names, folder = lm.expand_sites(sites), Path(path)
    banks = harvest_sites(
        lm,
        corpus,
        {site: folder / BANKS / site for site in names},
        dtype=dtype,
        max_tokens=max_tokens,
        skip_first_token=True,
        commit_every=COMMIT_EVERY,
    )
    for site in names:
        with banks[site] as bank:
            yield site, Study.learn(bank, folder / site, config)


def plan_sites(
    lm: LanguageModel,
    corpus: Corpus,
    sites: str | list[str],
    path: str | Path,
    *,
    config: AtomsConfig,
    dtype: str = "float32",
    max_tokens: int | None = None,
) -> Plan:
    """Say what `learn_sites` would cost with the same arguments, from counting tokens and timing a little of it."""
    config.check()
    names = lm.expand_sites(sites)
    limit = min(max_tokens or lm.max_tokens, lm.max_tokens)
    texts = [document.content for document in islice(corpus, COUNTED_DOCUMENTS)]
    if not texts:
        raise InputError("the corpus has no documents", where=corpus.name)
    lengths = np.array([min(limit, len(lm.tokenize(text).ids)) for text in texts])
    tokens = int(np.maximum(lengths - 1, 0).sum())
    started = time.perf_counter()
    probed = texts[:PROBED_DOCUMENTS]
    for _ in lm.activations(probed, names, max_tokens=max_tokens):
        pass
    per_token = (time.perf_counter() - started) / max(1, int(lengths[: len(probed)].sum()))
    n_train = max(1, round((1 - config.held_out) * tokens))
    n_atoms = config.n_atoms or default_atoms(n_train)
    widths = [lm.site_width(site) for site in names]
    step_seconds = {width: _time_step(width, n_atoms, config) for width in set(widths)}
    steps = n_steps(config, n_train)
    item = STORED[dtype].itemsize if dtype in STORED else 4
    parameters = [2 * n_atoms * width * 4 for width in widths]
    folder = Path(path)
    return Plan(
        names,
        tokens,
        n_atoms,
        per_token * int(lengths.sum()),
        sum(steps * step_seconds[width] for width in widths),
        sum(tokens * width * item for width in widths) + sum(parameters),
        max(tokens * width * 4 + 5 * size for width, size in zip(widths, parameters, strict=True)),
        shutil.disk_usage(next(place for place in [folder, *folder.absolute().parents] if place.exists())).free,
    )


def _time_step(width: int, n_atoms: int, config: AtomsConfig) -> float:
    """Seconds of a training step on random vectors: the median of three."""
    torch = require("torch", "models")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((config.batch_size, width), dtype=np.float32) / np.float32(np.sqrt(width))
    decoder = rng.standard_normal((n_atoms, width), dtype=np.float32)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    p = {
        "decoder": torch.from_numpy(decoder),
        "encoder": torch.from_numpy(decoder.copy()),
        "encoder_bias": torch.zeros(n_atoms),
        "bias": torch.zeros(width),
    }
    coder = CODERS[config.coder](config)
    coder.begin(p, x @ decoder.T)
    optimizer = torch.optim.Adam(list(p.values()), lr=1e-9, fused=True)
    groups = torch.from_numpy(coder.groups(n_atoms))
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        step = take_step(torch.from_numpy(x), p, coder, groups)
        for name, parameter in p.items():
            parameter.grad = step.gradients[name]
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:]))


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which layer 10 comes after layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]

"""`sememe doctor`: what is installed, which models are here, whether an index is sound, what a job would cost."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from itertools import islice
from pathlib import Path
from typing import Any

from sememe.cli.flags import add_json_flag, new_parser
from sememe.cli.output import duration, print_facts, print_json, print_table, size
from sememe.version import __version__

EXTRAS = {
    "models": ("torch", "transformers", "accelerate", "gguf"),
    "web": ("fastapi", "starlette", "uvicorn", "jinja2", "font-source-sans-pro", "font-source-serif-pro"),
    "pdf": ("pypdf",),
    "parquet": ("pyarrow",),
    "hub": ("datasets",),
    "milvus": ("pymilvus",),
    "papers": ("arxiv", "bibtexparser", "defusedxml", "rispy"),
}
PROBED_DOCUMENTS = 64
COUNTED_DOCUMENTS = 200_000
LEXICAL_BYTES = 950  # a document of the length of an abstract, measured with bm25s


def parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "doctor",
        "Show what is installed and which models are here; check an index; say what a job would cost.",
        "sememe doctor\n  sememe doctor --index my.index\n  sememe doctor --plan papers.jsonl",
    )
    parser.add_argument("--index", type=Path, help="check every file of this index")
    parser.add_argument("--plan", metavar="SOURCE", help="what indexing this source would take")
    parser.add_argument("--encoder", default="minilm", help="for --plan (default minilm)")
    add_json_flag(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    if options.index is not None:
        return _check(options)
    if options.plan is not None:
        return _plan(options)
    report = {"sememe": __version__, **_machine(), "extras": _extras(), "models": _models()}
    if options.json:
        print_json(report)
        return 0
    print_facts(
        [
            ("sememe", __version__),
            ("python", f"{report['python']} on {report['system']}"),
            ("processor", f"{report['cores']} cores"),
            ("memory", f"{size(report['memory_free'])} free of {size(report['memory'])}"),
            ("disk", f"{size(report['disk_free'])} free here"),
            ("accelerator", report["accelerator"]),
        ]
    )
    print()
    rows = [
        (name, package, version or "missing", "" if version else f"pip install 'sememe[{name}]'")
        for name, packages in report["extras"].items()
        for package, version in packages.items()
    ]
    print_table(["extra", "package", "version", "to install"], rows)
    print()
    print_table(
        ["model", "kind", "here", "package", "hub id"],
        [
            (m["name"], m["kind"], "yes" if m["available"] else "no", m["package"], m["hub_id"] or "-")
            for m in report["models"]
        ],
    )
    return 0


def _machine() -> dict[str, Any]:
    memory, free = _memory()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory": memory,
        "memory_free": free,
        "disk_free": shutil.disk_usage(Path.cwd()).free,
        "accelerator": _accelerator(),
    }


def _memory() -> tuple[int, int]:
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    free = os.sysconf("SC_AVPHYS_PAGES") * page
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []:
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    return total, free


def _accelerator() -> str:
    if importlib.util.find_spec("torch") is None:
        return "not looked for: torch is not installed"
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else "none, and none is needed"


def _extras() -> dict[str, dict[str, str | None]]:
    return {name: {package: _version(package) for package in packages} for name, packages in EXTRAS.items()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _models() -> list[dict[str, Any]]:
    from sememe.models import known_models

    return [
        {
            "name": model.name,
            "kind": model.kind,
            "available": model.available,
            "package": model.package,
            "hub_id": model.hub_id,
        }
        for model in known_models()
    ]


def _check(options: argparse.Namespace) -> int:
    from sememe.search import open_index

    with open_index(options.index) as index:
        index.verify()
        info = index.info()
    if options.json:
        print_json({"sound": True, **info})
    else:
        print(f"{options.index}: every checksum agrees; {info['documents']:,} documents, {info['vectors']:,} vectors")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from sememe import Encoder, read

    corpus = read(options.plan)
    encoder = Encoder.load(options.encoder)
    documents = list(islice(corpus, PROBED_DOCUMENTS))
    started = time.perf_counter()
    encoder.encode_document([document.content for document in documents])
    rate = len(documents) / max(time.perf_counter() - started, 1e-9)
    lengths = [len(encoder.token_spans(document.content)) for document in documents]
    windows = sum(max(1, -(-length // encoder.max_tokens)) for length in lengths) / max(len(lengths), 1)
    n = sum(1 for _ in islice(corpus, COUNTED_DOCUMENTS))
    text_bytes = sum(len(document.content.encode()) for document in documents) / max(len(documents), 1)
    vector_bytes = n * windows * encoder.dimensions * 4
    plan = {
        "documents": n,
        "counted_all": n < COUNTED_DOCUMENTS,
        "vectors": round(n * windows),
        "documents_per_second": rate,
        "seconds": n * windows / rate,
        "disk_bytes": round(vector_bytes + n * (text_bytes + LEXICAL_BYTES)),
        "memory_bytes": round(600e6 + n * LEXICAL_BYTES + min(vector_bytes, 1 << 30)),
    }
    if options.json:
        print_json(plan)
        return 0
    more = "" if plan["counted_all"] else " or more (counting stopped there)"
    print_facts(
        [
            ("documents", f"{n:,}{more}"),
            ("vectors", f"about {plan['vectors']:,} of {encoder.dimensions} dimensions"),
            ("time", f"about {duration(plan['seconds'])} at {rate:.0f} documents/s, measured on {len(documents)}"),
            ("disk", f"about {size(plan['disk_bytes'])}; {size(shutil.disk_usage(Path.cwd()).free)} free here"),
            ("memory", f"about {size(plan['memory_bytes'])}; {size(_memory()[1])} free"),
        ]
    )
    return 0

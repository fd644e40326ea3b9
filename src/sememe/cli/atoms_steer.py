"""`sememe atoms steer` and `splice`: a language model with changed atoms, or with atoms in place of its vectors."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sememe.cli.flags import add_json_flag
from sememe.cli.output import print_facts, print_json, print_table
from sememe.errors import InputError

if TYPE_CHECKING:
    from sememe import Atoms, LanguageModel
    from sememe.atoms.steering import AtomChange, Steered, TokenChange


SPLICED_DOCUMENTS = 20


def add_parsers(actions: Any) -> None:
    """Add the actions to the verb's parser."""
    _add_steer(actions)
    splice = actions.add_parser("splice", help="the loss that is kept when atoms take the place of a model's vectors")
    splice.add_argument("atoms", type=Path, help="the folder of atoms that were learned from a language model")
    splice.add_argument("--corpus", required=True, help="what the model reads: any source that sememe index takes")
    splice.add_argument(
        "--limit",
        type=int,
        default=SPLICED_DOCUMENTS,
        metavar="N",
        help=f"read so many documents (default {SPLICED_DOCUMENTS})",
    )
    splice.add_argument("--model", help="the language model (default: the one that the atoms were learned from)")
    splice.add_argument("--site", help="where (default: where they were learned)")
    splice.add_argument("--any-model", action="store_true", help="accept another model than they were learned from")
    add_json_flag(splice)
    splice.set_defaults(act=_splice)


def _add_steer(actions: Any) -> None:
    parser = actions.add_parser(
        "steer",
        help="change atoms while a language model writes: the text before and after, and what it cost",
        epilog="example:\n  sememe atoms steer study/layers.14.residual 'The weather today' --add 12=40 --remove 7",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("atoms", type=Path, help="the folder of atoms that were learned from a language model")
    parser.add_argument("prompt", help="the text to continue")
    for name, what in (("add", "add so much of an atom at every token"), ("scale", "multiply an atom's activation")):
        parser.add_argument(
            f"--{name}", type=_pair, action="append", default=[], metavar="ATOM=NUMBER", help=f"{what}; repeatable"
        )
    parser.add_argument(
        "--remove", type=int, action="append", default=[], metavar="ATOM", help="take an atom out; repeatable"
    )
    parser.add_argument("--tokens", type=int, default=40, help="how many tokens to write at most (default 40)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default 0)")
    parser.add_argument("--random-state", type=int, default=0, help="seed of the drawing (default 0)")
    parser.add_argument("--model", help="the language model (default: the one that the atoms were learned from)")
    parser.add_argument("--site", help="where to change them (default: where they were learned)")
    parser.add_argument("--any-model", action="store_true", help="accept another model than they were learned from")
    add_json_flag(parser)
    parser.set_defaults(act=_steer)


def _steer(options: argparse.Namespace) -> int:
    from sememe import Atoms
    from sememe.atoms.steering import steer_text

    add, scale = _by_atom(options.add, "--add"), _by_atom(options.scale, "--scale")
    atoms = Atoms.load(options.atoms)
    found = steer_text(
        _model(atoms, options),
        atoms,
        options.prompt,
        add=add,
        scale=scale,
        remove=options.remove,
        site=options.site,
        any_model=options.any_model,
        max_new_tokens=options.tokens,
        temperature=options.temperature,
        random_state=options.random_state,
    )
    if options.json:
        print_json(found.as_dict())
    else:
        _print(found)
    return 0


def _splice(options: argparse.Namespace) -> int:
    from sememe import Atoms, read
    from sememe.atoms.splice import cross_entropy_recovered

    atoms = Atoms.load(options.atoms)
    texts = [document.content for document in read(options.corpus, limit=options.limit)]
    found = cross_entropy_recovered(
        _model(atoms, options), atoms, texts, site=options.site, any_model=options.any_model
    )
    if options.json:
        shares = {name: value for name, value in asdict(found).items() if math.isnan(value)}
        print_json({**asdict(found), **dict.fromkeys(shares)})
        return 0
    rows = [
        ("the vectors themselves", f"{found.loss_clean:.4f}", ""),
        ("their reconstruction", f"{found.loss_spliced:.4f}", ""),
        ("the mean", f"{found.loss_mean_ablated:.4f}", _share(found.recovered_mean)),
        ("zero", f"{found.loss_zero_ablated:.4f}", _share(found.recovered_zero)),
    ]
    place = options.site or atoms.card["source"]["site"]
    print_table([f"at {place}", "loss", "recovered"], rows, right=["loss", "recovered"])
    print(f"{len(texts):,} documents, {found.n_tokens:,} tokens; recovered = share of the damage that is undone")
    return 0


def _model(atoms: Atoms, options: argparse.Namespace) -> LanguageModel:
    from sememe import LanguageModel

    name = options.model or atoms.card.get("source", {}).get("model")
    if not name:
        raise InputError(
            "the atoms do not say which model they were learned from",
            where=str(options.atoms),
            hint="Name it with --model",
        )
    return LanguageModel.load(name)


def _share(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.2%}"


def _pair(text: str) -> tuple[int, float]:
    atom, _, number = text.partition("=")
    try:
        return int(atom), float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected ATOM=NUMBER such as 12=4.0, not {text!r}") from None


def _by_atom(pairs: list[tuple[int, float]], flag: str) -> dict[int, float]:
    numbers = dict(pairs)
    if len(numbers) < len(pairs):
        raise InputError("an atom is given twice", where=flag)
    return numbers


def _print(found: Steered) -> None:
    print_facts([("site", f"{found.site}, median length {found.site_norm:.3g} on the prompt"),
                 *[(f"atom {change.atom}", _described(change)) for change in found.atoms]])  # fmt: skip
    for title, text in (("prompt", found.prompt), ("before", found.before), ("after", found.after)):
        print(f"\n{title}")
        for line in text.strip("\n").split("\n"):
            print(f"  {_printable(line)}".rstrip())
    print()
    print_table(
        ["log-probability, nats per token", "plain", "steered", "change"],
        [
            ["of the text before", *_figures(found.before_plain, found.before_steered)],
            ["of the text after", *_figures(found.after_plain, found.after_steered)],
        ],
        right=["plain", "steered", "change"],
    )
    print(f"\nnext token after the prompt: KL {found.kl:.3f} nats")
    rows = [[what, *_token(change)] for what, listed in (("gained", found.gained), ("lost", found.lost))
            for change in listed]  # fmt: skip
    print_table(["", "token", "plain", "steered"], rows, right=["plain", "steered"])


def _described(change: AtomChange) -> str:
    done = [f"add {change.add:g}"] if change.add else []
    if change.factor != 1 or not done:
        done.append("remove" if change.factor == 0 else f"scale by {change.factor:g}")
    seen = f"up to {change.on_prompt:.3g} on the prompt" if change.on_prompt else "not active on the prompt"
    return "; ".join(
        [*done, f"{seen}, threshold {change.threshold:.3g}", *([_printable(change.label)] if change.label else [])]
    )


def _figures(plain: float, steered: float) -> list[str]:
    return ["", "", ""] if math.isnan(plain) else [f"{plain:.3f}", f"{steered:.3f}", f"{steered - plain:+.3f}"]


def _token(change: TokenChange) -> list[str]:
    return [repr(change.token), f"{change.plain:.2%}", f"{change.steered:.2%}"]


def _printable(line: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else " " for character in line)

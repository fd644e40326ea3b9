"""The allow-list: the commands of TeX that are rendered, and the letters that they stand for."""

from __future__ import annotations

import unicodedata

_GREEK = """
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ
nu ν xi ξ pi π rho ρ sigma σ tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi
Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω ell ℓ hbar ℏ imath ı jmath ȷ aleph ℵ Re ℜ Im ℑ
"""
_SIGNS = """
times × cdot ⋅ pm ± mp ∓ div ÷ ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ odot ⊙ wedge ∧ vee ∨ cap ∩ cup
∪ setminus ∖ leq ≤ le ≤ geq ≥ ge ≥ neq ≠ ne ≠ ll ≪ gg ≫ approx ≈ sim ∼ simeq ≃ cong ≅ equiv ≡ propto ∝ prec ≺ succ ≻
lesssim ≲ gtrsim ≳ in ∈ notin ∉ ni ∋ subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ emptyset ∅ varnothing ∅ forall ∀ exists
∃ neg ¬ lnot ¬ to → rightarrow → leftarrow ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ mapsto ↦
longrightarrow ⟶ uparrow ↑ downarrow ↓ implies ⟹ iff ⟺ partial ∂ nabla ∇ infty ∞ sum ∑ prod ∏ int ∫ oint ∮ bigcup ⋃
bigcap ⋂ bigoplus ⨁ mid ∣ parallel ∥ perp ⊥ top ⊤ bot ⊥ langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ Vert ‖
vert | ldots … cdots ⋯ dots … vdots ⋮ prime ′ dagger † ddagger ‡ angle ∠ triangle △ square □ circledR ® copyright ©
colon : backslash ∖ degree ° checkmark ✓
"""


def _pairs(table: str) -> dict[str, str]:
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


SYMBOLS = {**_pairs(_GREEK), **_pairs(_SIGNS), "{": "{", "}": "}", "|": "‖", "%": "%", "&": "&", "#": "#", "_": "_"}
SPACES = {",": "\u2009", ":": "\u205f", ";": "\u2004", "!": "", " ": " ", "quad": "\u2003", "qquad": "\u2003\u2003"}
_FUNCTIONS = """
arccos arcsin arctan arg cos cosh cot deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr sec sin
sinh sup tan tanh
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
OPERATORS = {
    **{sign: sign for sign in "+=<>()[]|/,.:;!?~"},
    "-": "−",
    "*": "∗",
    "%": "%",
    "@": "@",
    "…": "…",
    "≤": "≤",
    "≥": "≥",
    "≈": "≈",
    "×": "×",
    "→": "→",
    "±": "±",
}
ACCENTS = {
    "hat": "^",
    "widehat": "^",
    "tilde": "~",
    "widetilde": "~",
    "bar": "¯",
    "overline": "¯",
    "vec": "→",
    "dot": "˙",
    "ddot": "¨",
}
ALPHABETS = {
    "mathbb": "DOUBLE-STRUCK",
    "mathcal": "SCRIPT",
    "mathscr": "SCRIPT",
    "mathfrak": "FRAKTUR",
    "mathbf": "BOLD",
    "boldsymbol": "BOLD",
    "bm": "BOLD",
    "mathsf": "SANS-SERIF",
    "mathtt": "MONOSPACE",
    "mathrm": "",
    "mathit": "",
    "text": "",
    "textrm": "",
    "textit": "",
    "texttt": "MONOSPACE",
    "textsf": "",
    "textsc": "",
    "emph": "",
    "textbf": "BOLD",
    "operatorname": "",
}


def lettered(command: str, text: str) -> str:
    r"""A text in the letters of another alphabet: `lettered("mathbb", "R")` is "ℝ"; what has none there stays."""
    style = ALPHABETS[command]
    return "".join(_letter(style, letter) for letter in text) if style else text


def _letter(style: str, letter: str) -> str:
    if not letter.isascii() or not letter.isalnum():
        return letter
    if letter.isdigit():
        names = [f"MATHEMATICAL {style} DIGIT {unicodedata.name(letter).removeprefix('DIGIT ')}"]
    else:
        case = "CAPITAL" if letter.isupper() else "SMALL"
        place = f"{style} {case} {letter.upper()}"
        black = place.replace("FRAKTUR", "BLACK-LETTER")  # what Unicode calls the five that it had before
        names = [f"MATHEMATICAL {place}", place, black]
    for name in names:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter

"""Which words tell what a paper is about: not those that stand in abstracts of all fields."""

from __future__ import annotations

from sememe.atoms.words import says_little

# Turns of phrase. A large collection knows that they are common; of a few dozen papers one may be rare.
_TURNS = frozenset(
    """
    ability able accordingly achieve achieved achieves achieving addition address addressed addresses addressing aim
    aims allowing analyze analyzing begin build building called capture captured captures challenge challenges
    challenging change changes clear compare comparable compared comparing contrast correct create day demonstrate
    demonstrated demonstrates demonstrating describe despite detail detailed develop developed developing difficult
    directly discover discovered effective effectively emerge emerging enable enabled enables enabling encourage
    entire essential establish evidence examine exist exists explore explored exploring extend extensive fail fails
    find finding findings focus form full fully fundamental gain gains go goal help high highlight highlighting
    highlights highly hope identify identified identifying improve improved improvement improves improving increase
    increases indicate inspired instance interesting investigate involve involved involves issue issues lack lead
    leading leads level leverage leveraged leverages leveraging limit limitation limitations limited long lower
    major match mean modification motivated notably notion observe observed offer offering offers outperform
    outperforming outperforms perform play popular possible precisely prior promising prove question questions range
    reach reliably rely remain remains report reported resulting reveal reveals rich role run seek seen serve set
    show shown significant significantly simple simply solution solutions state step strong substantial
    substantially suffer suggest suggests support take task tasks term terms time times today understand
    understanding understood unique unlike variety version whole wide widely
    """.split()  # noqa: SIM905
)


def tells(word: str) -> bool:
    """Whether a word is worth showing as a reason: no number, no single letter, no turn of phrase."""
    return len(word) > 1 and not word.isdigit() and word.casefold() not in _TURNS and not says_little(word)

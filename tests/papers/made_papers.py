"""Made papers about four fields, with words of their own and words of all."""

from __future__ import annotations

import datetime
import random

from sememe.papers import Paper

FIELDS = {
    "vision": ["image", "camera", "pixel", "segmentation", "detection", "scene", "depth", "object", "video", "frame"],
    "language": ["sentence", "translation", "parsing", "grammar", "word", "token", "dialogue", "summary", "corpus"],
    "robotics": ["robot", "gripper", "motion", "planning", "torque", "arm", "grasp", "locomotion", "joint", "control"],
    "audio": ["speech", "sound", "music", "acoustic", "speaker", "voice", "pitch", "noise", "waveform", "listening"],
}
COMMON = ["method", "model", "data", "results", "learning", "training", "network", "approach", "benchmark"]
FIRST_DAY = datetime.date(2026, 1, 5)  # a Monday


def make_papers(n: int, seed: int = 0) -> list[Paper]:
    """Papers in the order of their days, two a day; the category is the field."""
    rng = random.Random(seed)
    papers = []
    for number in range(n):
        field = list(FIELDS)[number % len(FIELDS)]
        words = rng.choices(FIELDS[field], k=14) + rng.choices(COMMON, k=10)
        rng.shuffle(words)
        papers.append(
            Paper(
                id=f"arxiv:2601.{number:05d}",
                title=f"{' '.join(rng.choices(FIELDS[field], k=3))} study {number}",
                abstract=" ".join(words),
                authors=(f"Author {number % 7}", "Ada Müller" if number == 9 else "Bo Li"),
                date=FIRST_DAY + datetime.timedelta(days=number // 2),
                categories=(field,),
            )
        )
    return papers

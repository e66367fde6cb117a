"""Success and leakage of an edit, as the judge of the world sees them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, Face, visible
from asyrp.domains.avatars.judge import JudgeNetwork
from asyrp.errors import AsyrpError

Answers = Mapping[str, Tensor]


class Score(NamedTuple):
    """Shares in [0, 1] over the faces that were edited.

    success: judged to show the value. leakage: answers about other factors that changed, over all
    faces and all factors that show before and after. by_factor: the same of each factor alone.
    """

    success: float
    leakage: float
    by_factor: dict[str, float]


def check_target(factor: str, value: str) -> None:
    """Raise AsyrpError unless the world has that factor and value."""
    if factor not in FACTORS:
        raise AsyrpError(f"unknown factor {factor!r}; the world has: {', '.join(FACTORS)}")
    if value not in FACTORS[factor]:
        known = ", ".join(FACTORS[factor])
        raise AsyrpError(f"{factor} has no value {value!r}; it has: {known}")


@torch.no_grad()
def answers(judge: JudgeNetwork, images: Tensor, batch_size: int = 64) -> Answers:
    """Index of the most likely value of each factor, (n,) each; images (n, 3, 64, 64)."""
    parts = [judge.decide(batch.float().cpu()) for batch in images.split(batch_size)]
    return dict(zip(FACTORS, torch.cat(parts).unbind(1), strict=True))


def score(before: Answers, after: Answers, faces: Sequence[Face], factor: str, value: str) -> Score:
    """What changed between two sets of answers about the same faces."""
    wanted = list(FACTORS[factor]).index(value)
    success = (after[factor] == wanted).double().mean().item()
    changed = {
        other: (before[other] != after[other])[shown]
        for other in FACTORS
        if other != factor and (shown := showing(faces, other, factor, value)).any()
    }
    pooled = torch.cat(list(changed.values())).double().mean().item()
    return Score(success, pooled, {k: v.double().mean().item() for k, v in changed.items()})


def showing(faces: Sequence[Face], other: str, factor: str, value: str) -> Tensor:
    """(n,) bool: whether a factor shows in each face, and still would with the new value."""
    return torch.tensor(
        [
            visible(face.values, other) and visible({**face.values, factor: value}, other)
            for face in faces
        ]
    )

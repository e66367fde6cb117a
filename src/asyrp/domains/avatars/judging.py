"""The drawn faces' judge as the metrics ask for it."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, visible
from asyrp.domains.avatars.judge import JudgeNetwork

AUDITED = ("skin", "hair", "eyewear", "facial_hair")
BATCH = 64


class AvatarJudge:
    """Reads all factors of avatars off pictures."""

    name = "avatars-64-judge"
    values: Mapping[str, Sequence[str]] = {name: tuple(table) for name, table in FACTORS.items()}
    audited: Sequence[str] = AUDITED

    def __init__(self, judge: JudgeNetwork) -> None:
        self.judge = judge

    @torch.no_grad()
    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, 64, 64) in [-1, 1] -> factor -> (n, values)."""
        parts = [self.judge(batch.float().cpu()) for batch in images.split(BATCH)]
        return {name: torch.cat([part[name] for part in parts]) for name in self.values}

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        """Whether a factor shows: sunglasses hide eyes."""
        return visible(values, attribute)

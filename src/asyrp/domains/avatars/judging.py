"""The world's judge as the metrics ask for it: answers, the wanted value, and what shows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, visible
from asyrp.domains.avatars.judge import Judge
from asyrp.domains.avatars.score import answers, check_target
from asyrp.metrics.answers import Answers, Shown

AUDITED = ("skin", "hair", "eyewear", "facial_hair")


class AvatarJudging:
    """Reads all factors of avatars off pictures; values come as indices into FACTORS."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    @property
    def name(self) -> str:
        """What a table records."""
        return "avatars-64-judge"

    @property
    def audited(self) -> Sequence[str]:
        """Factors by which subgroups are compared."""
        return AUDITED

    def answers(self, images: Tensor) -> Answers:
        """(n, 3, 64, 64) in [-1, 1] -> factor -> (n,)."""
        return {name: found.numpy() for name, found in answers(self.judge, images).items()}

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, 64, 64) in [-1, 1] -> factor -> (n, values), every row summing to 1."""
        return self.judge.probabilities(images.float().cpu())

    @torch.no_grad()
    def log_odds(self, images: Tensor, attribute: str, value: str) -> np.ndarray:
        """log p / (1 - p) of a value, (n,)."""
        wanted = self.wanted(attribute, value)
        logits = self.judge(images.float().cpu())[attribute].double()
        others = torch.cat([logits[:, :wanted], logits[:, wanted + 1 :]], 1)
        found: np.ndarray = (logits[:, wanted] - others.logsumexp(1)).numpy()
        return found

    def wanted(self, attribute: str, value: str) -> int:
        """The index of a value.

        Raises:
            AsyrpError: no such factor or value.
        """
        check_target(attribute, value)
        return list(FACTORS[attribute]).index(value)

    def value(self, attribute: str, index: int) -> str:
        """The name of a value."""
        return list(FACTORS[attribute])[index]

    def shown(self, before: Answers, attribute: str, value: str) -> Shown:
        """Whether each other factor shows, in the face as it was and with the new value."""
        count = len(before[attribute])
        faces = [
            {name: self.value(name, int(before[name][i])) for name in FACTORS} for i in range(count)
        ]
        return {
            other: np.array(
                [visible(f, other) and visible({**f, attribute: value}, other) for f in faces]
            )
            for other in FACTORS
            if other != attribute
        }

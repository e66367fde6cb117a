"""Feature networks of the world: for identity and for Frechet distances."""

from torch import Tensor

from asyrp.domains.avatars.judge import JudgeNetwork

NAME = "avatars-64-judge"
RESIDUAL, LAST = 14, 17  # places in JudgeNetwork.net: after the residual block, before the heads


class JudgeFeatures:
    """What the judge computes up to a place; no edit was made to please it.

    Before its heads it holds all ten factors: who a face is, in this world.

    Args:
        pooled: averaged over space: (b, 96) after the residual block; else flat, (b, 4096) before
            the heads.
    """

    def __init__(self, judge: JudgeNetwork, place: int, pooled: bool = False) -> None:
        self.layers, self.pooled = judge.net[: place + 1], pooled
        self.name = NAME if place == RESIDUAL else f"{NAME}, before its heads"

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> (b, d)."""
        found: Tensor = self.layers(images)
        return found.mean((2, 3)) if self.pooled else found.flatten(1)

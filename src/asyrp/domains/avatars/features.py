"""Feature networks of the world: for identity and for Frechet distances."""

from typing import cast

from torch import Tensor

from asyrp.domains.avatars.judge import Judge

NAME = "avatars-64-judge"
_RESIDUAL, _LAST = 14, 17  # places in Judge.net: after the residual block, before the heads


class PooledJudge:
    """The judge's 96 channels after its residual block, averaged over space.

    It guided no edit, so an edit cannot look good to it by the way it was trained.
    """

    def __init__(self, judge: Judge) -> None:
        self.layers = judge.net[: _RESIDUAL + 1]

    @property
    def name(self) -> str:
        """What a table records."""
        return NAME

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> (b, 96)."""
        return cast(Tensor, self.layers(images).mean((2, 3)))


class JudgeIdentity:
    """What the judge reads all ten factors from: who a face is, in this world."""

    def __init__(self, judge: Judge) -> None:
        self.layers = judge.net[: _LAST + 1]

    @property
    def name(self) -> str:
        """What a table records."""
        return f"{NAME}, before its heads"

    def __call__(self, images: Tensor) -> Tensor:
        """(b, 3, 64, 64) in [-1, 1] -> (b, 4096)."""
        return cast(Tensor, self.layers(images).flatten(1))

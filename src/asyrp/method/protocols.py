"""What the method asks of the networks that guide and measure it, as protocols."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from torch import Tensor


class TextImageEncoder(Protocol):
    """A frozen CLIP-like pair of towers."""

    @property
    def name(self) -> str:
        """What a direction file records as its guide."""

    @property
    def text_common(self) -> float:
        """Share that all its texts have in common but that its features leave out; 0 for CLIP.

        CLIP's texts lie in a narrow cone (cosines of 0.5 to 0.95), which t_edit and lambda_recon
        are made for; an encoder whose texts spread over the sphere says here how narrow to take it.
        """

    def image_features(self, images: Tensor) -> Tensor:
        """(b, 3, height, width) in [-1, 1] -> (b, d) of unit norm, differentiable."""

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """n texts -> (n, d) of unit norm."""


@dataclass(frozen=True)
class Thresholds:
    """Where the LPIPS curves are cut; they belong to one perceptual distance.

    edit: LPIPS(x, P_t) at t_edit for a text pair of cosine 1. boost: LPIPS(x, x_t) at t_boost.
    start: LPIPS(x, P_t) at the first edited timestep; None is the paper's choice, T.
    The defaults are the paper's, for LPIPS with AlexNet (sections 4.1 and 4.2).
    """

    edit: float = 0.33
    boost: float = 1.2
    start: float | None = None


class PerceptualDistance(Protocol):
    """How different two images look."""

    @property
    def name(self) -> str:
        """What a report records."""

    @property
    def thresholds(self) -> Thresholds:
        """Its cuts for t_edit and t_boost."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Two batches (b, 3, height, width) in [-1, 1] -> (b,), 0 for equal images."""


def templates_of(encoder: TextImageEncoder) -> Sequence[str]:
    """Its own `templates`, the sentences with `{}` that a text direction is averaged over.

    ("{}",), the text alone, for an encoder without any.
    """
    return tuple(getattr(encoder, "templates", ("{}",)))


def distance_from(distance: PerceptualDistance, a: Tensor) -> Callable[[Tensor], Tensor]:
    """The distance from the same images, by its own `distance_from` where it has one.

    For a distance that looks at them through something, as a decoder, and need not do so twice.
    """
    own: Callable[[Tensor], Callable[[Tensor], Tensor]] | None
    own = getattr(distance, "distance_from", None)
    return partial(distance, a) if own is None else own(a)

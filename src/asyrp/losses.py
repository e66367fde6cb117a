"""The two losses that find a direction (Kwon et al. 2023, section 3.4)."""

from torch import Tensor
from torch.nn import functional

EPSILON = 1e-7  # keeps a vanishing image direction finite, as the official code does


def image_direction(edited: Tensor, source: Tensor) -> Tensor:
    """dI = E(edited) - E(source) over its norm; features (b, d) of unit norm."""
    difference = edited - source
    direction: Tensor = difference / (difference.norm(dim=1, keepdim=True) + EPSILON)
    return direction


def directional_loss(edited: Tensor, source: Tensor, text: Tensor) -> Tensor:
    """1 - cos(dI, dT) of each image, (b,), in [0, 2].

    Args:
        edited, source: image features (b, d) of unit norm.
        text: dT, (d,), unit norm.
    """
    return 1 - functional.cosine_similarity(image_direction(edited, source), text[None], dim=1)


def log_form(directional: Tensor) -> Tensor:
    """-log((2 - mean loss) / 2): the official code's form, 0 at a perfect match."""
    return -((2 - directional.mean()) / 2).log()


def mean_form(directional: Tensor) -> Tensor:
    """The paper's form: the mean over images."""
    return directional.mean()


def reconstruction_loss(edited: Tensor, source: Tensor) -> Tensor:
    """mean |P_t^edit - P_t^source| over images (b, 3, height, width)."""
    return (edited - source).abs().mean()

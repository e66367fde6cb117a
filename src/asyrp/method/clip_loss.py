"""The two losses that find a direction, and their sum (Kwon et al. 2023, section 3.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.method.text_direction import TextDirection
from asyrp.settings import TrainSettings

EPSILON = 1e-7  # least |dI| of the official code: keeps a vanishing image direction finite


def image_direction(edited: Tensor, source: Tensor, floor: float = 0.0) -> Tensor:
    """dI = E(edited) - E(source) over its norm, or over `floor` where that is larger; (b, d)."""
    difference = edited - source
    length: Tensor = difference.norm(dim=1, keepdim=True).clamp(min=max(floor, EPSILON))
    return difference / length


def directional_loss(edited: Tensor, source: Tensor, text: Tensor, floor: float = 0.0) -> Tensor:
    """1 - dI . dT / max(|dI|, floor) of each image, (b,), in [0, 2].

    The paper's 1 - cos(dI, dT) has floor 0. It has no gradient where nothing is edited yet: that is
    of size 1 / |dI|, and its direction is rounding. With a floor no gradient is larger than 1 /
    floor, and at dI = 0 it is -dT / floor: below the floor progress along dT counts, above it the
    angle.

    Args:
        edited, source: image features (b, d) of unit norm.
        text: dT, (d,), unit norm.
    """
    return 1 - image_direction(edited, source, floor) @ text


def log_form(directional: Tensor) -> Tensor:
    """-log((2 - mean loss) / 2): the official code's form, 0 at a perfect match."""
    return -((2 - directional.mean()) / 2).log()


def mean_form(directional: Tensor) -> Tensor:
    """The paper's form: the mean over images."""
    return directional.mean()


def reconstruction_loss(edited: Tensor, source: Tensor) -> Tensor:
    """mean |P_t^edit - P_t^source| over images (b, 3, height, width)."""
    return (edited - source).abs().mean()


def kept_loss(edited: Tensor, source: Tensor, kept: Tensor, floor: float) -> Tensor:
    """|K dI|^2 of each image, (b,), in [0, 1]: how much of dI lies in what texts say to keep.

    Args:
        kept: K, orthonormal rows (r, d). floor: as in `directional_loss`.
    """
    return (image_direction(edited, source, floor) @ kept.T).square().sum(1)


class Losses(NamedTuple):
    """The parts of the loss: total, the directional loss averaged over images, L1."""

    total: Tensor
    directional: Tensor
    reconstruction: Tensor


def loss_of(
    x0: Tensor, x0_source: Tensor, features: Tensor, guide: TextDirection, settings: TrainSettings
) -> Losses:
    """lambda_clip L_dir + lambda_recon cos L1 between edited and source P_t (section 3.4).

    And lambda_keep |K dI|^2 where a guide says what to keep, which is ours, and its own terms.
    """
    (means,) = means_of(x0[None], x0_source, features, [guide], settings)
    return combined(means, guide, settings)


def means_of(
    x0: Tensor,
    x0_source: Tensor,
    features: Tensor,
    guides: Sequence[TextDirection],
    settings: TrainSettings,
) -> Tensor:
    """The means over images that each edit's loss is made of, (k, 3): directional, L1, others.

    Args:
        x0: (k, b, c, height, width), P_t of the same images under k edits.
        x0_source, features: (b, c, height, width) and (b, d), unedited.
        guides: the text pair of each edit; all of one encoder.
    """
    looked = guides[0].encoder.image_features(x0.flatten(0, 1).float())
    edited = looked.unflatten(0, x0.shape[:2])
    directional = [
        directional_loss(one, features, guide.direction, settings.floor).mean()
        for one, guide in zip(edited, guides, strict=True)
    ]
    recon = [reconstruction_loss(one.float(), x0_source.float()) for one in x0]
    others = [torch.zeros_like(one) for one in recon]
    for i, guide in enumerate(guides):
        for term in guide.terms:
            others[i] = others[i] + term(x0[i].float(), x0_source.float()).mean()
        if guide.kept is not None:
            kept = kept_loss(edited[i], features, guide.kept, settings.floor).mean()
            others[i] = others[i] + settings.lambda_keep * kept
    return torch.stack([torch.stack(part) for part in (directional, recon, others)], dim=1)


def combined(means: Tensor, guide: TextDirection, settings: TrainSettings) -> Losses:
    """The loss of one edit from its `means_of`, (3,), over all images."""
    directional, recon, others = means
    clip = log_form(directional) if settings.loss_form == "log" else mean_form(directional)
    total = settings.lambda_clip * clip + settings.lambda_recon * guide.cosine * recon
    return Losses(total + others, directional, recon)

"""A text pair as training uses it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.protocols import TextImageEncoder, templates_of

SMALLEST = 0.1  # singular value of what is kept; below it a text says what others have said

LossTerm = Callable[[Tensor, Tensor], Tensor]
"""(edited P_t, P_t), each (b, c, height, width) in float32 -> of each image, (b,)."""


class TextDirection(NamedTuple):
    """A text pair as the loss uses it.

    direction: dT, (d,). cosine: cos(source text, target text). kept: orthonormal rows (r, d), at
    right angles to dT, that images shall not move along; None for none. asked: the texts, source
    and target first. terms: more terms of the loss, of your own.
    """

    encoder: TextImageEncoder
    direction: Tensor
    cosine: float
    kept: Tensor | None = None
    asked: tuple[str, ...] = ()
    terms: tuple[LossTerm, ...] = ()


def new_text_direction(
    encoder: TextImageEncoder,
    source: str,
    target: str,
    templates: Sequence[str] | None = None,
    keep: Sequence[str] = (),
) -> TextDirection:
    """The guide of a text pair: dT averaged over templates, the cosine of the texts as they are.

    Args:
        templates: sentences with `{}`; None for the encoder's own (CLIP's 79).
        keep: texts of what shall stay as it is, each compared with the source as the target is.

    Raises:
        AsyrpError: a text is empty, or the encoder cannot tell it from the source.
    """
    cosine = _told_apart(encoder, source, target)
    for text in keep:
        _told_apart(encoder, source, text)
    sentences = templates_of(encoder) if templates is None else templates
    direction, *others = (
        text_direction(encoder, source, text, sentences) for text in (target, *keep)
    )
    kept = kept_directions(direction, torch.stack(others)) if others else None
    return TextDirection(encoder, direction, cosine, kept, (source, target, *keep))


def kept_directions(direction: Tensor, others: Tensor) -> Tensor:
    """Orthonormal rows (r, d) of what texts (m, d) say beside dT (d,); r is m or less."""
    beside = others - (others @ direction)[:, None] * direction
    _, sizes, rows = torch.linalg.svd(functional.normalize(beside, dim=1), full_matrices=False)
    kept: Tensor = rows[sizes > SMALLEST]
    return kept


def _told_apart(encoder: TextImageEncoder, source: str, target: str) -> float:
    """The cosine of two texts that say different things."""
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise AsyrpError(f"the {name} text is empty; needed: a few words, as in 'smiling face'")
    cosine = text_cosine(encoder, source, target)
    if cosine > 1 - 1e-6:
        raise AsyrpError(
            f"{source!r} and {target!r} mean the same to {encoder.name}; "
            "use a target text that names what should change"
        )
    return cosine


def text_direction(
    encoder: TextImageEncoder, source: str, target: str, templates: Sequence[str] = ("{}",)
) -> Tensor:
    """dT = mean over templates of E(target) - E(source), unit norm, (d,)."""
    sources = encoder.text_features([template.format(source) for template in templates])
    targets = encoder.text_features([template.format(target) for template in templates])
    return functional.normalize((targets - sources).mean(0), dim=0)


def text_cosine(encoder: TextImageEncoder, source: str, target: str) -> float:
    """cos(E(source), E(target)), which sets t_edit and weighs the reconstruction loss."""
    features = encoder.text_features([source, target])
    cosine = float(functional.cosine_similarity(features[0], features[1], dim=0))
    return encoder.text_common + (1 - encoder.text_common) * cosine

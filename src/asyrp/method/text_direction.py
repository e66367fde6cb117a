"""A text pair as training uses it."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import TextImageEncoder, templates_of, text_cosine, text_direction


class TextDirection(NamedTuple):
    """A text pair as the loss uses it: dT (d,), and cos(source text, target text)."""

    encoder: TextImageEncoder
    direction: Tensor
    cosine: float


def new_text_direction(
    encoder: TextImageEncoder, source: str, target: str, templates: Sequence[str] | None = None
) -> TextDirection:
    """The guide of a text pair: dT averaged over templates, the cosine of the texts as they are.

    Args:
        templates: sentences with `{}`; None for the encoder's own (CLIP's 79).

    Raises:
        AsyrpError: a text is empty, or the encoder cannot tell the two apart.
    """
    for name, text in (("source", source), ("target", target)):
        if not text.strip():
            raise AsyrpError(f"the {name} text is empty; needed: a few words, as in 'smiling face'")
    cosine = text_cosine(encoder, source, target)
    if cosine > 1 - 1e-6:
        raise AsyrpError(
            f"{source!r} and {target!r} mean the same to {encoder.name}; "
            "use a target text that names what should change"
        )
    sentences = templates_of(encoder) if templates is None else templates
    return TextDirection(encoder, text_direction(encoder, source, target, sentences), cosine)

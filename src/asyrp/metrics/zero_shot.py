"""A judge made of a text-image encoder and questions: it sees the value whose text is nearest.

Zero-shot classification (Radford et al. 2021, section 3.1). Weaker than a trained judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import TextImageEncoder
from asyrp.runtime.batching import by_batches
from asyrp.storage.files import read_object

CLIP_SCALE = 100.0  # of cosines before the softmax: where CLIP's own training ended
HIGHEST_SCALE = 1e6
BATCH = 64
FORM = '{"encoder": "clip", "questions": {"smile": ["a face", "a smiling face"], "age": [...]}}'
KEYS = {"encoder", "questions", "scale"}


@dataclass(frozen=True)
class Questions:
    """What a judge is made of.

    encoder: its name, folder or Hub id. values: attribute -> the texts of its values, two or more.
    scale: of the cosines; it sharpens probabilities and changes no answer.
    """

    encoder: str
    values: Mapping[str, Sequence[str]]
    scale: float = CLIP_SCALE


def read_questions(path: Path) -> Questions:
    """The questions of a file, as FORM shows them ("scale" may be left out), or AsyrpError."""
    try:
        return check_questions(read_object(path))
    except AsyrpError as error:
        raise AsyrpError(f"{str(path)!r} makes no judge: {error}; needed {FORM}") from error


def check_questions(content: Mapping[str, Any]) -> Questions:
    """The questions that a table says; AsyrpError tells what is wrong with it."""
    encoder, scale = content.get("encoder"), content.get("scale", CLIP_SCALE)
    if extra := sorted(content.keys() - KEYS):
        raise AsyrpError(f"it has {extra[0]!r}, which says nothing here")
    if not (isinstance(encoder, str) and encoder.strip()):
        raise AsyrpError(f"its encoder must be a name or a folder, got {encoder!r}")
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not (number and 0 < scale <= HIGHEST_SCALE):
        raise AsyrpError(f"its scale must be a number from 0 to {HIGHEST_SCALE:g}, 0 left out")
    questions = content.get("questions")
    if not isinstance(questions, dict) or len(questions) < 2:
        raise AsyrpError(
            "its questions must be two attributes or more, since leakage is seen in the others"
        )
    values = {name: _texts_of(name, texts) for name, texts in questions.items()}
    return Questions(encoder, values, float(scale))


def _texts_of(attribute: str, texts: Any) -> tuple[str, ...]:
    fits = isinstance(texts, list) and all(isinstance(t, str) and t.strip() for t in texts)
    if not (attribute.strip() and fits and len(texts) > 1 and len(set(texts)) == len(texts)):
        raise AsyrpError(f"{attribute!r} needs two different texts or more, got {str(texts)[:80]}")
    return tuple(texts)


class ZeroShotJudge:
    """Reads attributes off pictures: the value whose text is nearest.

    Its texts are taken as they are, without templates, and encoded once.
    """

    def __init__(self, encoder: TextImageEncoder, questions: Questions) -> None:
        self.encoder, self.questions = encoder, questions
        self.name, self.values = f"zero-shot {encoder.name}", questions.values
        self.audited = tuple(self.values)
        every = [text for texts in questions.values.values() for text in texts]
        found = encoder.text_features(every).detach().cpu().double()
        parts = found.split([len(texts) for texts in questions.values.values()])
        self._texts = dict(zip(questions.values, parts, strict=True))

    @torch.no_grad()
    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, height, width) in [-1, 1] -> attribute -> (n, values), scale * cosine, float64."""
        look = self.encoder.image_features
        seen = by_batches(lambda x: look(x.float()), BATCH, images).cpu().double()
        return {name: self.questions.scale * seen @ texts.T for name, texts in self._texts.items()}

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        """Every attribute counts as shown in every image."""
        return True

"""A judge made of a text-image encoder and questions: it sees the value whose text is nearest.

Zero-shot classification (Radford et al. 2021, section 3.1). Weaker than a trained judge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import TextImageEncoder
from asyrp.metrics.answers import Answers, Shown
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

    def wanted(self, attribute: str, value: str) -> int:
        """The index of a value.

        Raises:
            AsyrpError: no such attribute or value.
        """
        if attribute not in self.values:
            known = ", ".join(self.values)
            raise AsyrpError(
                f"the judge has no question about {attribute!r}; it answers for: {known}"
            )
        texts = list(self.values[attribute])
        if value not in texts:
            known = ", ".join(repr(text) for text in texts)
            raise AsyrpError(f"{attribute} has no value {value!r} for the judge; it has: {known}")
        return texts.index(value)


def read_questions(path: Path) -> Questions:
    """The questions of a file, as FORM shows them; "scale" may be left out.

    Raises:
        AsyrpError: no readable JSON, or not of that form.
    """
    content = read_object(path)
    wrong = _wrong(content)
    if wrong:
        raise AsyrpError(f"{str(path)!r} makes no judge: {wrong}; needed {FORM}")
    values = {name: tuple(texts) for name, texts in content["questions"].items()}
    return Questions(content["encoder"], values, float(content.get("scale", CLIP_SCALE)))


def _wrong(content: Mapping[str, Any]) -> str:
    """What is wrong with the content of a file; "" where nothing is."""
    encoder, scale = content.get("encoder"), content.get("scale", CLIP_SCALE)
    if extra := sorted(content.keys() - KEYS):
        return f"it has {extra[0]!r}, which says nothing here"
    if not (isinstance(encoder, str) and encoder.strip()):
        return f"its encoder must be a name or a folder, got {encoder!r}"
    number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not (number and 0 < scale <= HIGHEST_SCALE):
        return f"its scale must be a number from 0 to {HIGHEST_SCALE:g}, 0 left out"
    questions = content.get("questions")
    if not isinstance(questions, dict) or len(questions) < 2:
        return "its questions must be two attributes or more, since leakage is seen in the others"
    found = (_wrong_texts(name, texts) for name, texts in questions.items())
    return next((one for one in found if one), "")


def _wrong_texts(attribute: str, texts: Any) -> str:
    """What is wrong with one question; "" where nothing is."""
    fits = isinstance(texts, list) and all(isinstance(t, str) and t.strip() for t in texts)
    if not (attribute.strip() and fits and len(texts) > 1 and len(set(texts)) == len(texts)):
        return f"{attribute!r} needs two different texts or more, got {str(texts)[:80]}"
    return ""


class ZeroShotJudging:
    """Reads attributes off pictures; values come as indices into the questions.

    Its texts are taken as they are, without templates, and encoded once.
    """

    def __init__(self, encoder: TextImageEncoder, questions: Questions) -> None:
        self.encoder, self.questions = encoder, questions
        every = [text for texts in questions.values.values() for text in texts]
        found = encoder.text_features(every).detach().cpu().double()
        parts = found.split([len(texts) for texts in questions.values.values()])
        self._texts = dict(zip(questions.values, parts, strict=True))

    @property
    def name(self) -> str:
        """What a table records."""
        return f"zero-shot {self.encoder.name}"

    @property
    def audited(self) -> Sequence[str]:
        """Attributes by which subgroups are compared: all."""
        return tuple(self.questions.values)

    @torch.no_grad()
    def logits(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, height, width) in [-1, 1] -> attribute -> (n, values), scale * cosine, float64."""
        parts = [self.encoder.image_features(batch.float()) for batch in images.split(BATCH)]
        seen = torch.cat(parts).cpu().double()
        return {name: self.questions.scale * seen @ texts.T for name, texts in self._texts.items()}

    def probabilities(self, images: Tensor) -> dict[str, Tensor]:
        """(n, 3, height, width) -> attribute -> (n, values), every row summing to 1."""
        return {name: rows.softmax(1) for name, rows in self.logits(images).items()}

    def log_odds(self, images: Tensor, attribute: str, value: str) -> np.ndarray:
        """log p / (1 - p) of a value, (n,)."""
        wanted, rows = self.wanted(attribute, value), self.logits(images)[attribute]
        others = torch.cat([rows[:, :wanted], rows[:, wanted + 1 :]], 1)
        found: np.ndarray = (rows[:, wanted] - others.logsumexp(1)).numpy()
        return found

    def answers(self, images: Tensor) -> Answers:
        """(n, 3, height, width) in [-1, 1] -> attribute -> (n,)."""
        return {name: rows.argmax(1).numpy() for name, rows in self.logits(images).items()}

    def wanted(self, attribute: str, value: str) -> int:
        """The index of a value; AsyrpError where there is no such question."""
        return self.questions.wanted(attribute, value)

    def value(self, attribute: str, index: int) -> str:
        """The text of a value."""
        return self.questions.values[attribute][index]

    def shown(self, before: Answers, attribute: str, value: str) -> Shown:
        """Every other attribute counts as shown in every image."""
        return {
            name: np.ones(len(rows), dtype=bool)
            for name, rows in before.items()
            if name != attribute
        }

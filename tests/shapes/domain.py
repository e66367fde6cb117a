"""The domain of coloured shapes: analytic scorers, and a small network of random weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.domains.base import Images, Networks, Split, Task
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import linear
from asyrp.metrics.features import EncoderFeatures
from asyrp.metrics.table import Metric, Scorers
from asyrp.settings import Precision
from conftest import tiny_unet
from shapes.drawing import EVERY, VALUES, draw, sample

NAME = "shapes-16"
NETWORKS = Networks("shapes-16", "shapes", "rms")
TASKS = {
    "square": Task("square", "shape", "square", "form", "square"),
    "red": Task("red", "shape", "red shape", "colour", "red", of_colour=True),
}


class Encoder:
    """Means of 4 x 4 pixels; a text is the mean of all shapes that it names."""

    name, text_common = "shapes", 0.0

    def image_features(self, images: Tensor) -> Tensor:
        return functional.normalize(functional.avg_pool2d(images, 4).flatten(1) + 0.5, dim=1)

    def text_features(self, texts: Sequence[str]) -> Tensor:
        return torch.cat([self._text(set(text.split())) for text in texts])

    def _text(self, words: set[str]) -> Tensor:
        named = [shape for shape in EVERY if words & set(shape)] or list(EVERY)
        mean = self.image_features(torch.stack([draw(shape) for shape in named])).mean(0)
        return functional.normalize(mean[None], dim=1)


class Distance:
    """Root mean square difference."""

    name, thresholds = "rms", Thresholds(0.2, 0.3)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).mean(1).sqrt()


class ShapeJudge:
    """The likeliest of the nine shapes, by squared differences."""

    name, audited = "shapes-judge", ("colour",)
    values: Mapping[str, Sequence[str]] = VALUES

    def logits(self, images: Tensor) -> dict[str, Tensor]:
        drawn = torch.stack([draw(shape) for shape in EVERY]).flatten(1).double()
        scores = -torch.cdist(images.flatten(1).double(), drawn).square() / 50
        table = scores.unflatten(1, (3, 3))
        return {"form": table.logsumexp(2), "colour": table.logsumexp(1)}

    def visible(self, values: Mapping[str, str], attribute: str) -> bool:
        return True


class Parts:
    """What is brighter than the ground."""

    name = "shapes-parts"

    def masks(self, images: Tensor) -> np.ndarray:
        return (images.amax(1) > 0).byte().numpy()


@dataclass(frozen=True)
class Shapes:
    """See `asyrp.domains.base.Domain`."""

    model: HSpaceUNet
    encoder: Encoder
    distance: Distance
    scorers: Scorers
    name: str = NAME
    noun: str = "shape"
    about: str = "Scorers are formulas."
    gives: frozenset[str] = frozenset({"rendered_target", "labels", "condition"})

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint()

    @property
    def tasks(self) -> Mapping[str, Task]:
        return TASKS

    def images(self, split: Split, count: int) -> Images:
        numbers = tuple(range(count))
        return Images(split, numbers, torch.stack([draw(sample(split, n)) for n in numbers]))

    def lacking(self, images: Images, task: Task) -> list[int]:
        shown = [getattr(sample(images.split, n), task.attribute) for n in images.numbers]
        return [row for row, value in enumerate(shown) if value != task.value]

    def rendered_targets(self, images: Images, task: Task) -> list[Tensor]:
        shapes = [sample(images.split, n) for n in images.numbers]
        return [torch.stack([draw(s._replace(**{task.attribute: task.value})) for s in shapes])]

    def labelled(self, count: int) -> tuple[Tensor, np.ndarray]:
        shapes = [sample("train", n) for n in range(count)]
        rows = [[VALUES[f].index(v) for f, v in s._asdict().items()] for s in shapes]
        return torch.stack([draw(s) for s in shapes]), np.array(rows, np.int8)

    def conditioned(self, task: Task) -> HSpaceUNet:
        return network(1)


def network(label: int = 0) -> HSpaceUNet:
    """Random weights, tamed: their walk stays near [-1, 1]."""
    unet = tiny_unet(num_class_embeds=2)
    with torch.no_grad():
        for weight in unet.conv_out.parameters():
            weight.mul_(0.1)
    return HSpaceUNet(unet, linear(), class_label=label)


def scorers(device: str = "cpu") -> Scorers:
    features = EncoderFeatures(Encoder())
    bright = Metric(
        "brightness", "mean level of the edit", lambda p: p.edits.mean((1, 2, 3)).numpy()
    )
    return Scorers(
        judge=ShapeJudge(), segmenter=Parts(), features=features, identity=features, more=(bright,)
    )


def load(device: str = "cpu", dtype: Precision = "float32") -> Shapes:
    return Shapes(network(), Encoder(), Distance(), scorers())

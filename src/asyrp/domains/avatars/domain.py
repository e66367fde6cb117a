"""The domain avatars-64: drawn faces with exact labels, and small networks trained on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, UNSEEN, Face, draw, sample_face
from asyrp.domains.avatars.features import LAST, RESIDUAL, JudgeFeatures
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.judging import AvatarJudge
from asyrp.domains.avatars.pictures import labels, pictures
from asyrp.domains.avatars.segmenter import load_segmenter
from asyrp.domains.base import Images, Networks, Split, Task, fingerprint_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.metrics.table import Scorers
from asyrp.networks import load_model
from asyrp.scorers.load import encoder_for, load_distance
from asyrp.settings import Precision, Region
from asyrp.storage.images import from_uint8
from asyrp.storage.shipped import shipped

NAME = "avatars-64"
NETWORKS = Networks(NAME, "avatars-64-clip", "st-lpips-alex")
KNOWS, STRANGE = "drawn faces", 0.1  # these have 0.03 to 0.06, photographs 0.16 and more
ABOUT = (
    "S_dir: encoder avatars-64-clip, the texts as they are, source image: the original; higher is "
    "better. LPIPS: st-lpips-alex to the original. Judge: avatars-64-judge, which was trained on "
    "labelled faces and guided no edit; identity, FID and KID compare its features. SC: mean IoU "
    "of the parts that avatars-64-parts sees."
)
UNSEEN_SHARE = 0.12  # of faces with an unseen value among those that a classifier learns from


MOUTH = (0.25, 0.54, 0.75, 0.54, 0.75, 0.82, 0.25, 0.82)
EYES = (0.08, 0.27, 0.92, 0.27, 0.92, 0.58, 0.08, 0.58)
BROWS = (0.1, 0.2, 0.9, 0.2, 0.9, 0.42, 0.1, 0.42)
LOWER = (0.12, 0.5, 0.88, 0.5, 0.88, 0.95, 0.12, 0.95)
HAIR = (0, 0, 1, 0, 1, 1, 0.78, 1, 0.8, 0.5, 0.75, 0.3, 0.25, 0.3, 0.2, 0.5, 0.22, 1, 0, 1)
REGIONS: Mapping[str, Region] = {
    "mouth": MOUTH, "eyes": EYES, "eyewear": EYES, "brows": BROWS, "facial_hair": LOWER,
    "hair": HAIR, "hair_color": HAIR,
}  # fmt: skip
"""factor -> where it shows."""


def _task(
    name: str, source: str, target: str, factor: str, value: str, compared: bool = True
) -> Task:
    unseen, colour = UNSEEN.get(factor) == value, factor in ("hair_color", "skin")
    texts, region = (name, source, target, factor, value), REGIONS.get(factor, ())
    return Task(*texts, unseen, colour, region=region, compared=compared)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        _task("smiling", "face", "smiling face", "mouth", "smiling"),
        _task("sad", "face", "sad face", "mouth", "sad"),
        _task("angry", "face", "angry face", "brows", "angry"),
        _task("closed", "person", "person with closed eyes", "eyes", "closed"),
        _task("glasses", "person", "person with glasses", "eyewear", "glasses"),
        _task("beard", "person", "person with a beard", "facial_hair", "beard"),
        _task("bald", "person", "bald person", "hair", "bald"),
        _task("blonde", "person", "person with blonde hair", "hair_color", "blonde"),
        _task("blue", "person", "person with blue hair", "hair_color", "blue"),
        _task("green", "person", "person with green skin", "skin", "green"),
        _task("surprised", "face", "surprised face", "mouth", "surprised", False),
        _task("raised", "person", "person with raised brows", "brows", "raised", False),
        _task("winking", "person", "person with a wink", "eyes", "winking", False),
        _task("wide", "person", "person with wide eyes", "eyes", "wide", False),
        _task("sunglasses", "person", "person with sunglasses", "eyewear", "sunglasses", False),
        _task("moustache", "person", "person with a moustache", "facial_hair", "moustache", False),
    )
}


@dataclass(frozen=True)
class Avatars:
    """Drawn faces; see `asyrp.domains.base.Domain`."""

    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    scorers: Scorers
    fingerprint: str
    name: str = NAME
    noun: str = "face"
    about: str = ABOUT
    gives: frozenset[str] = frozenset({"rendered_target", "labels"})
    tasks: Mapping[str, Task] = field(default_factory=lambda: TASKS)

    def images(self, split: Split, count: int) -> Images:
        """The first faces of a split, drawn."""
        numbers = tuple(range(count))
        return Images(split, numbers, drawn(sample_face(split, number) for number in numbers))

    def lacking(self, images: Images, task: Task) -> list[int]:
        """Rows of the faces that show the factor but not the value, by what was drawn."""
        shown = [face.label(task.attribute) for face in faces_of(images)]
        return [row for row, label in enumerate(shown) if label not in (None, task.value)]

    def rendered_targets(self, images: Images, task: Task) -> list[Tensor]:
        """The faces drawn again with the task's value, once for each part that shows it."""
        faces, parts = faces_of(images), FACTORS[task.attribute][task.value]
        return [
            drawn(face.replaced(task.attribute, task.value, part) for face in faces)
            for part in parts
        ]

    def labelled(self, count: int) -> tuple[Tensor, np.ndarray]:
        """Training faces with unseen values among them, and their labels."""
        images = pictures("train", count, None, UNSEEN_SHARE, 1)
        return from_uint8(images), labels("train", count, UNSEEN_SHARE)


def faces_of(images: Images) -> list[Face]:
    """What is known about the faces."""
    return [sample_face(images.split, number) for number in images.numbers]


def drawn(faces: Iterable[Face]) -> Tensor:
    """(n, 3, 64, 64) in [-1, 1]."""
    return from_uint8(np.stack([draw(face) for face in faces]))


def scorers(device: str = "cpu") -> Scorers:
    """What measures; all of it stays on the CPU."""
    judge = load_judge()
    return Scorers(
        judge=AvatarJudge(judge),
        segmenter=load_segmenter(),
        features=JudgeFeatures(judge, RESIDUAL, pooled=True),
        identity=JudgeFeatures(judge, LAST),
    )


def load(device: str = "cpu", dtype: Precision = "float32") -> Avatars:
    """The domain with its networks."""
    folder = shipped("asyrp.domains.avatars", "weights")
    model = load_model(NAME, device, dtype)
    return Avatars(
        model,
        encoder_for(model, NETWORKS.encoder),
        load_distance(NETWORKS.distance, device),
        scorers(device),
        fingerprint_of(sorted(folder.rglob("*.safetensors"))),
    )

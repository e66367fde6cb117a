"""A network and pictures of the user's as compare and the studies work on them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from asyrp.commands.common import pictures
from asyrp.commands.judges import partiality, questions_in
from asyrp.domains.lab import Lab, phases_of
from asyrp.domains.scenes import Scene, scene_of
from asyrp.domains.tasks import Task
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing_interval import EditInterval, measure_curves
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import paper_grid
from asyrp.metrics.zero_shot import Questions
from asyrp.options import Guides, Network
from asyrp.options.compare import Counts, Own
from asyrp.settings import TrainSettings

MOST_CURVES = 16  # images that the intervals are measured on


class Asked(Protocol):
    """What compare and study ask alike."""

    @property
    def own(self) -> Own:
        """Images, texts, phases and judge."""
        ...

    @property
    def network(self) -> Network:
        """The network."""
        ...

    @property
    def guides(self) -> Guides:
        """The networks that guide."""
        ...

    @property
    def counts(self) -> Counts:
        """How many images."""
        ...

    @property
    def training(self) -> TrainSettings:
        """How directions are trained."""
        ...


class Ground(NamedTuple):
    """Inverted images, and the timesteps of editing."""

    phases: EditInterval
    train: Scene
    validation: Scene
    test: Scene


def check_own(options: Asked, what: str) -> None:
    """Refuse what cannot work before anything is loaded; what: the work, as a subject."""
    own, counts = options.own, options.counts
    if own.images is None or own.train_images is None or not (own.source and own.target):
        raise AsyrpError(
            f"{what} on a network of your own needs --images, --train-images, --source and "
            "--target; give all four, or none for the built-in world"
        )
    if counts.validation_faces < 2:
        raise AsyrpError(f"--validation-faces must be 2 or more; got {counts.validation_faces}")
    given_phases(own)


def check_built_in(options: Any) -> None:
    """Refuse what the built-in world has no use for, rather than pass over it.

    Args:
        options: of compare or study.
    """
    parts = [getattr(options, name, None) for name in ("network", "guides", "inverting", "beside")]
    for part in [*filter(None, parts), options]:
        for field in fields(part):
            asked = getattr(part, field.name)
            if (part is not options or field.name == "steps") and asked != field.default:
                raise AsyrpError(
                    f"--{field.name.replace('_', '-')} is for a network of your own; the built-in "
                    "world has networks and settings of its own; leave it out"
                )


def questions_for(options: Asked) -> Questions | None:
    """The questions of the judge; None without a judge.

    Raises:
        AsyrpError: a judge without attribute and value or the other way round, or one that does
            not answer for them.
    """
    own = options.own
    told = [name for name in ("judge", "attribute", "value") if getattr(own, name)]
    if not told:
        return None
    if len(told) < 3:
        raise AsyrpError(
            "--judge FILE.json, --attribute and --value go together; got only "
            f"{' and '.join(f'--{name}' for name in told)}"
        )
    questions = questions_in(own.judge)
    questions.wanted(own.attribute, own.value)
    return questions


def warned(options: Asked, questions: Questions | None) -> str:
    """What is said where the judge is the guide; "" otherwise."""
    return "" if questions is None else partiality(questions, options.guides.encoder)


def given_phases(own: Own) -> EditInterval | None:
    """The timesteps that the user set; None where they shall be measured.

    Raises:
        AsyrpError: some of them, or an order that cannot be.
    """
    told = [t for t in (own.t_start, own.t_edit, own.t_boost) if t is not None]
    if not told:
        return None
    if len(told) < 3:
        raise AsyrpError("--t-start, --t-edit and --t-boost go together; give all three or none")
    return EditInterval(*told)


@dataclass(frozen=True)
class Walks:
    """How images are inverted: on grids of training and of editing, so many at a time."""

    training: int
    editing: int = EDIT_STEPS
    batch_size: int = 16


def ground_of(options: Asked, lab: Lab, task: Task, walks: Walks) -> Ground:
    """Invert the images, up to a t_start that is given or read from LPIPS curves."""
    given = material(options, lab.model)
    few = given["validation"][:MOST_CURVES]
    phases = given_phases(options.own) or phases_on(lab, task, few, walks)
    steps = {"train": walks.training, "validation": walks.editing, "test": walks.editing}
    scenes = {
        split: scene_of(lab.model, x, split, phases.t_start, steps[split], walks.batch_size)
        for split, x in given.items()
    }
    return Ground(phases, **scenes)


def material(options: Asked, model: HSpaceUNet) -> Mapping[str, Tensor]:
    """Images to train on, to tune on, and to test on.

    Raises:
        AsyrpError: fewer than two to train on.
    """
    own, counts = options.own, options.counts
    most, tuned = counts.train_faces + counts.validation_faces, counts.validation_faces
    given = pictures(cast(Path, own.train_images), model, most).images
    if len(given) < tuned + 2:
        raise AsyrpError(
            f"needed at least 2 images to train on beside {tuned} to tune on; "
            f"{str(own.train_images)!r} has {len(given)}; give more, or lower --validation-faces"
        )
    test = pictures(cast(Path, own.images), model, counts.test_faces).images
    return {"train": given[tuned:], "validation": given[:tuned], "test": test}


@torch.no_grad()
def phases_on(lab: Lab, task: Task, images: Tensor, walks: Walks) -> EditInterval:
    """t_start, t_edit and t_boost from the curves of some images, inverted to T."""
    length, count = lab.model.schedule.length, walks.editing
    scene = scene_of(lab.model, images, "curves", length - 1, count, walks.batch_size)
    steps = reverse_process(lab.model, scene.latents, paper_grid(count, length))
    curves = measure_curves(scene.reconstructions, scene.latents, steps, lab.distance)
    return phases_of(lab, curves, task)


def budget(training: TrainSettings) -> TrainSettings:
    """Training without validation, so that everything gets the same budget."""
    return replace(training, validate_every=0)

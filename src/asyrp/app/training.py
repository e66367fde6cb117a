"""Training from the page: a generator that says how far it is, and can be dropped at any step."""

import threading
import warnings
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from asyrp.app.jobs import BATCH, Job, paths
from asyrp.finders.clip_training import fit, new_direction
from asyrp.finders.prepare import make_card
from asyrp.finders.training_checkpoint import outcomes_of
from asyrp.finders.training_goal import TrainStep
from asyrp.method.asymmetric_process import Attribute, ReverseStep, reverse_process
from asyrp.method.direction_file import save_direction
from asyrp.method.directions import Direction
from asyrp.method.editing import inversion_grid, random_latents
from asyrp.method.editing_interval import EditInterval, curve_points, find_intervals, over_time
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.method.schedule import Timesteps, below, paper_grid
from asyrp.method.strength import STRENGTHS, response, saturation
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.method.unedited_trajectory import UneditedTrajectory, Window, editing_window, prepare
from asyrp.method.unedited_trajectory import joined as joined_sources
from asyrp.settings import Region
from asyrp.storage.images import contact_sheet

_LISTENING = threading.Lock()
Item = TypeVar("Item")
MEASURED, PREVIEWED = 4, 4  # held-out faces for the LPIPS curves, and in a preview


class Scorers(NamedTuple):
    """The networks that training needs; interval: where directions act, None to measure it."""

    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    interval: EditInterval | None = None


class TrainingData(NamedTuple):
    """What is known before the first step of training; kept, so that resuming is quick.

    tail: the pairs from t_start to the end, of the grid of training. faces: held-out ones,
    (n, 3, height, width). unknown: what the encoder warned of. region: where P_t changes.
    """

    guide: TextDirection
    phases: EditInterval
    window: Window
    tail: Timesteps
    train: UneditedTrajectory
    validation: UneditedTrajectory
    faces: Tensor
    unknown: str
    region: Region


class Trained(NamedTuple):
    """A direction file, and the held-out faces before and after, (n, 3, height, width)."""

    path: Path
    before: Tensor
    after: Tensor


class Progress(NamedTuple):
    """How far a job is.

    image: (3, height, width), the newest preview. losses: (batch, validation loss) so far, of
    `batches`. note: for the user.
    """

    what: str
    done: int = 0
    total: int = 1
    image: Tensor | None = None
    losses: tuple[tuple[int, float], ...] = ()
    batches: int = 1
    note: str = ""


def _guide_and_warnings(encoder: TextImageEncoder, job: Job) -> tuple[TextDirection, str]:
    """The guide, and what it warned of; one job at a time, for the filters are the process's."""
    with _LISTENING, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        guide = new_text_direction(encoder, job.source, job.target)
    said = [str(warning.message) for warning in caught if warning.category is UserWarning]
    return guide, " ".join(dict.fromkeys(said))


def gather(tools: Scorers, job: Job) -> Generator[Progress, None, TrainingData]:
    """Draw faces, find the phases, walk the unedited trajectories.

    Raises:
        AsyrpError: texts that say nothing, or phases that cannot be found.
    """
    model, settings = tools.model, job.settings
    guide, unknown = _guide_and_warnings(tools.encoder, job)
    latents = random_latents(model, job.faces, job.seed)
    cut = job.faces - max(2, min(16, job.faces // 4))
    faces, steps = yield from _draw(model, latents[cut:], job.steps)
    phases = tools.interval
    if phases is None:
        points = curve_points(faces[:MEASURED], latents[cut:], steps, tools.distance)
        measured = yield from reported("measuring LPIPS curves", len(steps), points)
        thresholds = tools.distance.thresholds
        phases = find_intervals(over_time(measured), guide.cosine, thresholds).interval
    length, top = model.schedule.length, model.t_top
    window = editing_window(phases.t_start, phases.t_edit, settings.steps, length, top)
    train = yield from _walk_sources(model, guide, latents[:cut], window)
    validation = yield from _walk_sources(model, guide, latents[cut:], window)
    tail = below(paper_grid(settings.steps, length), min(phases.t_start, top))
    found = (guide, phases, window, tail, train, validation, faces)
    return TrainingData(*found, unknown, job.region)


def reported(what: str, total: int, items: Iterable[Item]) -> Generator[Progress, None, list[Item]]:
    """The items of a job, each of them told as it comes."""
    found = []
    for one in items:
        found.append(one)
        yield Progress(what, len(found), total)
    return found


@torch.no_grad()
def _draw(
    model: HSpaceUNet, latents: Tensor, steps: int
) -> Generator[Progress, None, tuple[Tensor, list[ReverseStep]]]:
    """Faces, (n, 3, height, width), and the unedited walk of the first four."""
    walked, few = [], slice(0, MEASURED)
    grid = inversion_grid(model, steps)
    for done in reverse_process(model, latents, grid):
        x, x0 = done.x[few].clone(), done.x0[few].clone()
        walked.append(done._replace(x=x, x0=x0, x0_source=x0))
        yield Progress("drawing faces", len(walked), len(grid), contact_sheet([x0]))
    return done.x, walked


def _walk_sources(
    model: HSpaceUNet, guide: TextDirection, latents: Tensor, window: Window
) -> Generator[Progress, None, UneditedTrajectory]:
    parts: list[UneditedTrajectory] = []
    for part in prepare(model, guide, latents, window, BATCH):
        parts.append(part)
        done = sum(len(p.latents) for p in parts)
        yield Progress("walking the unedited trajectories", done, len(latents))
    return joined_sources(parts)


def train(
    tools: Scorers, job: Job, data: TrainingData, folder: Path
) -> Generator[Progress, None, Trained]:
    """Train and write the direction file; continues from the job's checkpoint if there is one."""
    settings, (path, checkpoint) = job.settings, paths(folder, job)
    grid = data.window.grid
    direction = new_direction(tools.model, grid, settings)
    found = (data.guide, data.train, grid, settings, data.validation, checkpoint)
    steps = fit(tools.model, direction, *found)
    yield from _followed(tools.model, direction, steps, data)
    outcome: dict[str, Any] = {"images": len(data.train.latents)}
    outcome["held_out"] = len(data.faces)
    (kept,) = outcomes_of(checkpoint)  # the same for a run that was stopped on the way
    if kept is not None:
        outcome |= {"batches": kept.batches, "validation_loss": kept.loss}
    direction.requires_grad_(False)
    responses = _responses(tools.model, direction, data)
    what = "finding the strength that counts as 1"
    made = yield from reported(what, len(STRENGTHS), responses)
    strength = saturation(STRENGTHS, made)
    texts, known = (job.source, job.target), (data.phases, settings, outcome, strength)
    save_direction(path, direction, make_card(tools.model, texts, data.guide, *known))
    checkpoint.unlink(missing_ok=True)
    after = data.validation.latents
    for count, x in enumerate(_edited(tools.model, direction, data, strength), 1):
        after = x
        yield Progress("editing held-out faces", count, len(data.tail))
    return Trained(path, data.faces, after)


@torch.no_grad()
def _edited(
    model: HSpaceUNet,
    direction: nn.Module,
    data: TrainingData,
    strength: float = 1.0,
    most: int | None = None,
) -> Iterator[Tensor]:
    """x of held-out faces after each step from t_start, where the walk begins."""
    when, grid, x = data.phases, data.tail, data.validation.latents[:most]
    whole = cast(Direction, direction)
    act = Attribute(whole, when.t_edit, strength, grid.full, when.t_start, data.region)
    for done in reverse_process(model, x, grid, [act]):
        yield done.x


def _responses(model: HSpaceUNet, direction: nn.Module, data: TrainingData) -> Iterator[float]:
    """How far held-out faces respond to each of STRENGTHS."""
    parts = (data.guide, data.validation, data.window.grid)
    return (
        response(model, cast(Direction, direction), s, *parts, region=data.region)
        for s in STRENGTHS
    )


def _followed(
    model: HSpaceUNet, direction: nn.Module, steps: Iterator[TrainStep], data: TrainingData
) -> Iterator[Progress]:
    image: Tensor | None = None
    losses: tuple[tuple[int, float], ...] = ()
    timesteps, first = len(data.window.grid), True
    for count, step in enumerate(steps):
        if step.t is None:
            losses = (*losses, (step.batch + 1, step.total))
        if step.t is None or (first and step.t == data.window.grid[-1].t):
            image, first = preview(model, direction, data), False
        done = step.batch * timesteps + (timesteps if step.t is None else count % timesteps)
        what = f"training: batch {step.batch + 1} of {step.batches}, loss {step.total:.3f}"
        yield Progress(what, done, step.batches * timesteps, image, losses, step.batches)


@torch.no_grad()
def preview(model: HSpaceUNet, direction: nn.Module, data: TrainingData) -> Tensor:
    """Held-out faces above their edits, (3, height, width)."""
    *_, after = _edited(model, direction, data, most=PREVIEWED)
    return contact_sheet([data.faces[:PREVIEWED], after])

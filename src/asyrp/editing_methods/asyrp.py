"""Asyrp itself: f_t in P_t alone, its means, and the variants that the paper argues against."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from asyrp.domains.base import Domain, Task
from asyrp.domains.find_direction import fitted, recorded
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.editing_methods.other_spaces import epsilon_space
from asyrp.method.asymmetric_process import Shift, asymmetric, symmetric
from asyrp.method.cost import Cost, counted
from asyrp.method.direction_file import SavedDirection, load_direction, save_direction
from asyrp.method.directions import global_direction, mean_direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.resumable import result_of

STRENGTHS: tuple[Setting, ...] = tuple({"strength": s} for s in (0.5, 0.8, 1.3, 2.1))
DOUBLED: tuple[Setting, ...] = tuple({"strength": s} for s in (1.0, 3.0, 6.0, 12.0))


def direction_path(folder: Path, task: Task) -> Path:
    """Where the f_t of a task is kept."""
    return folder / f"direction-{task.name}.safetensors"


def fit(
    domain: Domain, task: Task, inputs: Inputs, space: HSpaceUNet | None = None, keep: bool = False
) -> tuple[SavedDirection, Cost]:
    """A direction trained now, and what that took; space, keep: see `find_direction.fitted`."""
    with counted(domain.model) as cost:
        parts = (domain, task, inputs.interval, inputs.train, inputs.settings, space, keep)
        return fitted(*parts).saved, cost


def train_ft(domain: Domain, task: Task, inputs: Inputs) -> Cost:
    """Train f_t and keep it, for our own methods and the studies."""
    saved, cost = fit(domain, task, inputs)
    save_direction(direction_path(inputs.folder, task), saved.direction, saved.card)
    return cost


def trained(domain: Domain, task: Task, folder: Path) -> SavedDirection:
    """The f_t that `train_ft` kept."""
    return load_direction(direction_path(folder, task), domain.model)


def asyrp(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """f_t in P_t alone: the method of the paper."""
    made = result_of(inputs.folder, f"direction-{task.name}")["training"]
    cost = Cost(**{name: made[name] for name in vars(Cost())})
    saved = trained(domain, task, inputs.folder)
    return directed(domain.model, inputs, saved, _bytes_of_ft(inputs, task), cost)


def asyrp_anew(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """The same, trained now."""
    saved, cost = fit(domain, task, inputs)
    return directed(domain.model, inputs, saved, 0, cost)


def averaged(domain: Domain, task: Task, inputs: Inputs, name: str) -> Editor:
    """The mean of f_t's dh over training images: "mean" a timestep, "global" over these too."""
    with counted(domain.model) as cost:
        saved = trained(domain, task, inputs.folder)
        table = mean_direction([recorded(domain, inputs.train, saved)])
        made = table if name == "mean" else global_direction(table)
    mean = SavedDirection(made, saved.card)
    return directed(domain.model, inputs, mean, bytes_kept(inputs, task, name, mean), cost)


def symmetric_edit(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """The same f_t in both halves of the step, which Theorem 1 says will do little."""
    saved, stored = trained(domain, task, inputs.folder), _bytes_of_ft(inputs, task)
    ready = directed(domain.model, inputs, saved, stored, Cost(), symmetric)
    return ready._replace(settings=DOUBLED)


def epsilon_edit(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """One De_t a timestep, trained and added to eps in P_t alone (appendix D.1)."""
    space = epsilon_space(domain.model)
    table = inputs._replace(settings=replace(inputs.settings, kind="timestep"))
    saved, cost = fit(domain, task, table, space)
    return directed(space, inputs, saved, bytes_kept(inputs, task, "epsilon", saved), cost)


def _bytes_of_ft(inputs: Inputs, task: Task) -> int:
    return direction_path(inputs.folder, task).stat().st_size


def bytes_kept(inputs: Inputs, task: Task, name: str, saved: SavedDirection) -> int:
    """Keep a task's direction by a name; the size of its file."""
    path = inputs.folder / f"{name}-{task.name}.safetensors"
    save_direction(path, saved.direction, saved.card)
    return path.stat().st_size


def directed(
    model: HSpaceUNet,
    inputs: Inputs,
    saved: SavedDirection,
    stored: int,
    cost: Cost,
    shift: Shift = asymmetric,
) -> Editor:
    """The editor that a direction makes."""

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        act = saved.attribute(setting["strength"])
        return edited(model, images, [act], inputs.interval.t_boost, shift)

    return Editor(edit, STRENGTHS, stored, cost)

"""The sheet of held-out images that training shows as it goes on."""

from pathlib import Path
from typing import cast

from asyrp.finders.prepare import EDIT_STEPS, Pictures
from asyrp.finders.training_goal import TrainingGoal
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import Direction
from asyrp.method.editing import edit
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.options import Train
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import contact_sheet, write_png

MOST_PREVIEWED = 8


def preview(
    model: HSpaceUNet,
    goal: TrainingGoal,
    held: Pictures,
    phases: EditInterval,
    options: Train,
    path: Path,
) -> None:
    """Write reconstructions of held-out images above their edits into a new folder's path."""
    few = held[:MOST_PREVIEWED]
    direction, training = cast(Direction, goal.direction), options.training
    how = (training.steps, phases.t_start, training.region)
    act = Attribute(direction, phases.t_edit, 1.0, *how)
    edits = edit(model, few.latents, [act], EDIT_STEPS, inversion=options.inversion)
    sheet = contact_sheet([model.space.decode(row) for row in (few.images, edits)])
    with atomic_folder(path.parent) as out:
        write_png(out / path.name, sheet)

"""An f_t trained along the edited walk, for any loss between P_t as edited and as wanted."""

import math
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.base import FinderStep
from asyrp.finders.catalogue import Fitting
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.directions import Direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, full_length
from asyrp.storage.training_state import load_state, save_state

LARGEST_GRADIENT = 1.0  # norm to which gradients are cut

Loss = Callable[[Tensor, int, Tensor], Tensor]
"""(P_t as edited (b, c, height, width), its place in the grid, rows of the images) -> ()."""


class Goal(NamedTuple):
    """What one batch teaches: the direction that edits, and the loss of its P_t."""

    direction: Direction
    loss: Loss


def fitted(
    model: HSpaceUNet,
    module: nn.Module,
    x: Tensor,
    grid: Sequence[Pair],
    goal_of: Callable[[int], Goal],
    fitting: Fitting,
    checkpoint: Path | None = None,
) -> Generator[FinderStep, None, dict[str, float]]:
    """Train a module in place, one step of Adam for each timestep; yields every batch.

    Returns the mean loss of the last epoch by its name, nothing where all was done before.

    Args:
        x: of the images where the grid begins, (n, c, height, width).
        goal_of: what a batch of that number teaches.
        checkpoint: replaced after every batch; where it exists, training goes on from it.

    Raises:
        AsyrpError: a loss is not finite, or the checkpoint is of another training.
    """
    optimiser = torch.optim.Adam(module.parameters(), lr=fitting.learning_rate)
    order, done, means = batches_of(len(x), fitting), 0, list[float]()
    if checkpoint is not None and checkpoint.exists():
        done = int(load_state(checkpoint, {"module": module}, optimiser).header["batches"])
    for batch in range(done, len(order)):
        for group in optimiser.param_groups:
            group["lr"] = fitting.learning_rate * (1 - batch / len(order))
        rows, goal, losses = order[batch], goal_of(batch), []
        act = Attribute(goal.direction, grid[-1].t, trained_steps=full_length(grid))
        for k, step in enumerate(reverse_process(model, x[rows], grid, [act])):
            loss = goal.loss(step.x0, k, rows)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            losses.append(float(loss.detach()))
        if not all(map(math.isfinite, losses)):
            raise AsyrpError("the loss is not finite: training diverged; lower the learning rate")
        if checkpoint is not None:
            save_state(checkpoint, {"module": module}, optimiser, {"batches": str(batch + 1)})
        means.append(sum(losses) / len(losses))
        yield FinderStep(batch + 1, len(order), loss=means[-1])
    last = means[-max(1, len(means) // fitting.epochs) :]
    return {"loss": round(sum(last) / len(last), 6)} if last else {}


def batches_of(count: int, fitting: Fitting) -> list[Tensor]:
    """Rows of every batch of every epoch, shuffled anew each epoch."""
    generator = torch.Generator().manual_seed(fitting.seed)
    epochs = [torch.randperm(count, generator=generator) for _ in range(fitting.epochs)]
    return [rows for epoch in epochs for rows in epoch.split(fitting.batch_size)]

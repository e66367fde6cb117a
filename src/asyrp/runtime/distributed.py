"""Several processes as one: who does which images, and sums over all of them.

`accelerate launch -m asyrp ...` starts the processes; accelerate chooses the devices and the
transport (gloo on CPU, NCCL on GPUs). One process alone needs none of it.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from asyrp.errors import AsyrpError

Value = TypeVar("Value")

# Shares of work differ, and the first process writes and previews while others wait for it. One
# that dies ends the others at once: their link to it breaks, and the launcher stops them.
PATIENCE = timedelta(hours=6)


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those that do a job together; every method is called by all of them.

    rank: 0 for the first, which alone writes files. device: of this process.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, count: int) -> slice:
        """The rows that this process does: one run of neighbours, all runs alike to one row."""
        ends = list(accumulate((count - rank - 1) // self.size + 1 for rank in range(self.size)))
        return slice(ends[self.rank - 1] if self.rank else 0, ends[self.rank])

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes; the same bits for each of them."""
        if self.size == 1:
            return values
        from accelerate.utils import reduce

        return cast(Tensor, reduce(values.detach().clone(), "sum"))

    def whole(self, own: Tensor, count: int) -> Tensor:
        """All rows, from the share that each process has of them."""
        if self.size == 1:
            return own
        every = own.new_zeros((count, *own.shape[1:]))
        every[self.share(count)] = own
        return self.total(every)

    def mean(self, own: Tensor, weight: float) -> Tensor:
        """The weighted mean over processes, whose gradient is this process's part of it.

        Args:
            weight: the share of the rows that `own` is the mean of; all weights sum to 1.
        """
        if self.size == 1:
            return own
        mine = own * weight
        return cast(Tensor, _As.apply(mine, self.total(mine)))  # type: ignore[no-untyped-call]

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by its sum over processes, in one message."""
        if self.size == 1:
            return
        wanted = [p for p in parameters if p.requires_grad]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in wanted]
        flat = self.total(torch.cat([grad.reshape(-1) for grad in grads]))
        for p, part in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
            p.grad = part.view_as(p).clone()

    def joined(self, values: Sequence[Value]) -> list[Value]:
        """The lists of all processes as one, in the order of their ranks."""
        if self.size == 1:
            return list(values)
        from accelerate.utils import gather_object

        return cast(list[Value], gather_object(list(values)))

    def same(self, value: Value) -> Value:
        """What the first process has."""
        if self.size == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return cast(Value, broadcast_object_list([value])[0])

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


class _As(torch.autograd.Function):
    """The value of the second, the gradient of the first: every process sees the same bits."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor, whole: Tensor) -> Tensor:
        return whole.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


SINGLE_PROCESS = ProcessGroup()


def assemble(device: str = "cpu") -> ProcessGroup:
    """The group that this process was launched in; a group of one without a launcher.

    Args:
        device: cpu, cuda, ...; the processes of a group get one device each.

    Raises:
        AsyrpError: more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup(device=device)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.startswith("cuda") and here > torch.cuda.device_count():
        raise AsyrpError(
            f"{here} processes need a GPU each; this machine has {torch.cuda.device_count()}; "
            "launch as many as there are, or one"
        )
    from accelerate import PartialState

    state: Any = PartialState(cpu=device.startswith("cpu"), timeout=PATIENCE)
    return ProcessGroup(state.process_index, state.num_processes, str(state.device))


def is_first() -> bool:
    """Whether this process speaks for its group."""
    return int(os.environ.get("RANK", "0")) == 0

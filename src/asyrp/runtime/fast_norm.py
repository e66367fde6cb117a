"""Group norms of a CPU's `channels_last` maps, whose gradient torch finds slowly.

torch 2.13 takes as long for it as for the convolutions around it, and in bfloat16 three times as
long as in float32.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LARGE = 1024  # places of a map from which sums over places are faster than torch's own way


class FastGroupNorm(nn.GroupNorm):
    """A frozen norm: of small maps in float32; of large ones its gradient by sums over places."""

    def forward(self, x: Tensor) -> Tensor:
        """As `nn.GroupNorm`: (b, c, height, width) -> the same."""
        if not self._ours(x):
            return super().forward(x)
        if x.shape[2] * x.shape[3] < LARGE:
            return super().forward(x.to(self.weight.dtype)).to(x.dtype)
        if torch.is_grad_enabled() and x.requires_grad:
            found: Tensor = _Normalised.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
            return found
        return super().forward(x)

    def _ours(self, x: Tensor) -> bool:
        """Whether x is such a map, and the weights are not trained."""
        map_ = x.dim() == 4 and x.device.type == "cpu" and type(x) is Tensor
        frozen = self.affine and not (self.weight.requires_grad or self.bias.requires_grad)
        format_ = torch.channels_last
        return map_ and frozen and x.is_contiguous(memory_format=format_) and not in_forward_mode()


class _Normalised(torch.autograd.Function):
    """torch's own group norm forward; backward for x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        b, c, height, width = x.shape
        given = (x, weight, bias, b, c, height * width, groups, eps)
        y, mean, inverse = torch.native_group_norm(*given)
        ctx.save_for_backward(x, weight, mean, inverse)
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """With u = weight * grad and r = 1 / std, of each group of n values:

        dx = r (u - mean(u) - r^2 (x - m) mean(u (x - m))), which is a grad + b x + c for each
        channel; a, b and c are float32.
        """
        x, weight, mean, inverse = ctx.saved_tensors
        groups, n = mean.shape[1], x[0].numel() // mean.shape[1]
        mean, r = mean.float(), inverse.float()

        def over_group(of_channels: Tensor) -> Tensor:
            found: Tensor = (of_channels * weight).unflatten(1, (groups, -1)).sum(2) / n
            return found

        def each(of_groups: Tensor) -> Tensor:
            return of_groups.repeat_interleave(x.shape[1] // groups, dim=1)

        places = (2, 3)
        u = over_group(grad.sum(places, dtype=torch.float32))
        ux = over_group((grad * x).sum(places, dtype=torch.float32))
        b = r**3 * (mean * u - ux)
        c = -r * u - b * mean
        a_map, b_map, c_map = (
            part.to(grad.dtype)[:, :, None, None] for part in (each(r) * weight, each(b), each(c))
        )
        found = torch.addcmul(c_map, b_map, x).addcmul_(a_map, grad)
        return found, None, None, None, None


def in_forward_mode() -> bool:
    """Whether tangents are carried along, which no `requires_grad` tells of."""
    inside = torch._C._functorch.peek_interpreter_stack() is not None
    return inside or torch.autograd.forward_ad._current_level >= 0

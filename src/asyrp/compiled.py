"""Networks through `torch.compile`: blocks whose results agree with the plain ones, or none."""

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NamedTuple, cast

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.fast_blocks import use_fast_blocks, use_plain_blocks

Backend = str | Callable[..., Any]
FINE = {torch.float32: 2e-5, torch.float64: 1e-10}  # rounding, of the largest value
COARSE = 0.1  # of bfloat16 and float16: 8 to 11 bits a number, through dozens of layers
KINDS = (ResnetBlock2D, Attention, Transformer2DModel)


class Results(NamedTuple):
    """What is compared: eps as an inversion finds it, eps in training, and d(sum eps^2)/dh."""

    eps: Tensor
    eps_with_graph: Tensor
    gradient: Tensor


class Outcome(NamedTuple):
    """Whether the network is compiled now, and a line that says how well it agrees, or why not."""

    used: bool
    line: str


def compile_network(
    model: HSpaceUNet, batch_size: int = 2, backend: Backend = "inductor"
) -> Outcome:
    """Compile the residual and attention blocks in place, if results agree with the plain ones.

    One random x goes through both networks. Where eps or its gradient with respect to h differs by
    more than rounding, or nothing can be compiled here, the network stays plain: whoever asks for
    speed wants the job done all the same, with right results. Weights, their names and the
    fingerprint are left alone; a deep copy is plain, and so is a block whose weights train.

    Resampling stays plain: for an up block that is compiled whole, torch 2.13's inductor answers
    on the CPU with a gradient of 0 (its layout optimisation, where nearest-neighbour upsampling
    follows residual blocks). That is what the check is for.

    Args:
        batch_size: images of the check. Blocks take other numbers afterwards; one image, some
            numbers below 16 and the first gradient may each compile once more.
        backend: of torch.compile.
    """
    lean = use_plain_blocks(model.unet)
    x, regions = _noise(model, batch_size), list(regions_of(model.unet))
    try:
        wanted = _results(model, x)
        for number, region in enumerate(regions):
            # as nn.Module.compile does, which has no place for what Region adds
            region._compiled_call_impl = Region(region, number, backend)
        found = _results(model, x)
    except Exception as error:  # what a compiler raises has no type in common
        return _plain(model, regions, lean, _reason(error))
    differences = [_relative(*pair) for pair in zip(wanted, found, strict=True)]
    bound = FINE.get(model.dtype, COARSE)
    eps, gradient = max(differences[:2]), differences[2]
    told = f"eps differs by {eps:.1e} of its largest value, its gradient by {gradient:.1e}"
    if not all(difference <= bound for difference in differences):
        return _plain(model, regions, lean, f"{told}; at most {bound:.0e} is rounding")
    return Outcome(True, f"compiled {len(regions)} blocks: {told}")


def regions_of(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks to compile: residual, attention and transformer blocks that do not resample."""
    for child in module.children():
        if not isinstance(child, KINDS):
            yield from regions_of(child)
        elif (
            getattr(child, "upsample", None) is None and getattr(child, "downsample", None) is None
        ):
            yield child


class Region:
    """A compiled block, called in place of the module's own `__call__`.

    It has a code object of its own, since torch counts recompilations (8 at most, then plain) by
    code object and all blocks of a kind share one. The number of images is dynamic from the first
    call. Calls that need no gradient run the graph without one, whatever the mode: one graph less.
    """

    def __init__(self, module: nn.Module, number: int, backend: Backend):
        self._module = module
        self._run = torch.compile(_own_code(module, number), backend=backend)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The module's results."""
        if any(weight.requires_grad for weight in self._module.parameters()):
            return self._module.forward(*args, **kwargs)
        tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        for tensor in tensors:
            if len(tensor) > 1:
                torch._dynamo.maybe_mark_dynamic(tensor, 0)  # type: ignore[no-untyped-call]
        needed = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        with torch.set_grad_enabled(needed):
            return self._run(*args, **kwargs)


def _own_code(module: nn.Module, number: int) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return module.forward(*args, **kwargs)

    code = call.__code__.replace(co_name=f"region_{number}")
    return FunctionType(code, call.__globals__, closure=call.__closure__)


def _plain(model: HSpaceUNet, regions: list[nn.Module], lean: bool, reason: str) -> Outcome:
    if lean:
        use_fast_blocks(model.unet)
    for region in regions:
        region._compiled_call_impl = None
    return Outcome(False, f"not compiled, the plain network goes on: {reason}")


def _reason(error: Exception) -> str:
    if "C++ compiler" in str(error):
        return "torch.compile needs a C++ compiler on the CPU, and found none (g++, or set CXX)"
    lines = str(error).strip().splitlines() or [""]
    return f"torch.compile failed ({type(error).__name__}: {lines[0][:160]})"


def _noise(model: HSpaceUNet, count: int) -> Tensor:
    shape, generator = (count, *model.image_shape), torch.Generator().manual_seed(0)
    dtype = torch.promote_types(model.dtype, torch.float32)  # as a walk carries x
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(model.device, dtype)


def _results(model: HSpaceUNet, x: Tensor) -> Results:
    labels = torch.zeros(len(x), device=x.device, dtype=torch.long)
    given = labels if model.unet.class_embedding is not None else None
    with torch.no_grad():
        encoded = model.encode(x, model.schedule.length // 2, given)
        eps = model.decode(encoded)
    with torch.enable_grad():
        h = encoded.h.clone().requires_grad_()
        answer = model.decode(encoded, h)
        (gradient,) = torch.autograd.grad(answer.square().sum(), h)
    return Results(eps, answer.detach(), gradient)


def _relative(wanted: Tensor, found: Tensor) -> float:
    wanted, found = wanted.double(), found.double()
    largest = wanted.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return cast(float, ((found - wanted).abs().max() / largest).item())

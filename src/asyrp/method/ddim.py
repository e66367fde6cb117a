"""Plain DDIM (Song et al. 2021): one step, generation and inversion. Knows no editing."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.schedule import CLEAN, NoiseSchedule, Pair
from asyrp.runtime.transfer import sent
from asyrp.storage.finite import check_result

NoisePredictor = Callable[[Tensor, int], Tensor]
Convention = Literal["source", "target", "extrapolated"]
HIGHEST_SEED = 2**43


class Step(NamedTuple):
    """x at `s` after a step from `t`, and the x0 = P_t that was predicted on the way."""

    t: int
    s: int
    x: Tensor
    x0: Tensor


def predict_x0(x: Tensor, eps: Tensor, alpha_bar: float) -> Tensor:
    """P_t = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t) (DDIM, equation 12)."""
    return (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)


def sigma(alpha_bar_t: float, alpha_bar_s: float, eta: float) -> float:
    """eta sqrt((1 - abar_s) / (1 - abar_t)) sqrt(1 - abar_t / abar_s) (DDIM, equation 16)."""
    variance = (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha_bar_t / alpha_bar_s)
    return eta * math.sqrt(max(0.0, variance))


def step(
    x: Tensor,
    eps_x0: Tensor,
    eps: Tensor,
    schedule: NoiseSchedule,
    pair: Pair,
    noise: Tensor | None = None,
    eta: float = 0.0,
) -> Step:
    """One reverse step from t to s: sqrt(abar_s) P_t(eps_x0) + D_t(eps) + sigma_t noise.

    Plain DDIM passes the same noise prediction twice; Asyrp edits only `eps_x0` (Kwon et al. 2023,
    equation 5).

    Args:
        x, eps_x0, eps: (b, c, height, width).
        noise: standard normal, of x's shape; needed where eta > 0.
    """
    alpha_bar_t, alpha_bar_s = schedule.alpha_bar(pair.t), schedule.alpha_bar(pair.s)
    x0 = predict_x0(x, eps_x0, alpha_bar_t)
    std = sigma(alpha_bar_t, alpha_bar_s, eta)
    x_s = math.sqrt(alpha_bar_s) * x0 + math.sqrt(max(0.0, 1 - alpha_bar_s - std**2)) * eps
    if std > 0:
        if noise is None:
            raise AsyrpError("a step with eta > 0 needs noise; pass a generator for each image")
        x_s = x_s + std * noise
    return Step(pair.t, pair.s, x_s, x0)


def step_up(x: Tensor, eps: Tensor, schedule: NoiseSchedule, s: int, t: int) -> Tensor:
    """The DDIM ODE's step from s up to t > s with a given noise prediction."""
    x0 = predict_x0(x, eps, schedule.alpha_bar(s))
    alpha_bar = schedule.alpha_bar(t)
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * eps


def generate(
    model: NoisePredictor,
    schedule: NoiseSchedule,
    x: Tensor,
    grid: Sequence[Pair],
    eta: float = 0.0,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[Step]:
    """Walk from noise x_T, (b, c, height, width), down the grid; the last step's x is the image."""
    for pair in grid:
        noise = draw_noise(x, generators) if eta > 0 else None
        eps = model(x, pair.t)
        done = step(x, eps, eps, schedule, pair, noise, eta)
        x = done.x
        yield done


class InversionStep(NamedTuple):
    """x at `t` after a step up from `s`."""

    s: int
    t: int
    x: Tensor


def invert_steps(
    model: NoisePredictor,
    schedule: NoiseSchedule,
    x0: Tensor,
    grid: Sequence[Pair],
    convention: Convention = "source",
    refinements: int = 0,
) -> Iterator[InversionStep]:
    """Walk from images up the grid to x_T; the last step's x is the latent.

    Args:
        x0: (b, c, height, width) in [-1, 1].
        convention: where the noise of a step from s to t is evaluated: "source" at (x_s, s), with
            the image taken as x at the lowest timestep, as the paper's code does (n - 1 network
            calls); "target" at (x_s, t), starting from alpha_bar = 1, as diffusers'
            DDIMInverseScheduler does (n calls); "extrapolated" as "source", with the second-order
            term of the noise before it, which costs no call (see `second_order`).
        refinements: fixed-point iterations a step, eps <- eps(x_t, t), each one network call; they
            converge to the x_t from which the reverse step gives x_s exactly.

    Raises:
        AsyrpError: x is no longer finite.
    """
    check_convention(convention)
    x, before = x0, None
    for s, t in _upward(grid, convention):
        eps = model(x, t if convention == "target" else s)
        raised = step_up(x, eps, schedule, s, t)
        if convention == "extrapolated":
            here = s, predict_x0(x, eps, schedule.alpha_bar(s))
            if before is not None:
                weight = second_order(schedule, before[0], s, t)
                raised = raised + weight * (here[1] - before[1])
            before = here
        for _ in range(refinements):
            raised = step_up(x, model(raised, t), schedule, s, t)
        x = raised
        yield InversionStep(s, t, x)
    check_result(x, "the inversion")  # once, since it waits for a GPU


def second_order(schedule: NoiseSchedule, before: int, here: int, there: int) -> float:
    """The factor of P_here - P_before that makes a DDIM step, up or down, one of second order.

    DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): sqrt(abar_there) (1 - exp(-h)) / (2 r), where h
    and r h are this step and the one before it in log-SNR/2. No timestep may be CLEAN.
    """
    levels = [_half_log_snr(schedule, t) for t in (before, here, there)]
    last, own = (b - a for a, b in pairwise(levels))
    return math.sqrt(schedule.alpha_bar(there)) * -math.expm1(-own) * own / (2 * last)


def _half_log_snr(schedule: NoiseSchedule, t: int) -> float:
    alpha_bar = schedule.alpha_bar(t)
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))


def _upward(grid: Sequence[Pair], convention: Convention) -> list[tuple[int, int]]:
    upward = [(pair.s, pair.t) for pair in reversed(grid)]
    return [(s, t) for s, t in upward if convention == "target" or s != CLEAN]


def check_convention(convention: str) -> None:
    """Raise AsyrpError unless it is one of the named conventions."""
    if convention not in get_args(Convention):
        known = ", ".join(get_args(Convention))
        raise AsyrpError(f"the inversion convention is one of {known}; got {convention!r}")


def draw_noise(like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """Standard normal noise in the shape of `like`, row i from generators[i] alone."""
    if len(generators) != len(like):
        raise AsyrpError(
            f"{len(like)} images need {len(like)} generators, one each; got {len(generators)}"
        )
    shape = like.shape[1:]
    rows = [
        torch.randn(shape, generator=g, device=g.device, dtype=torch.float32) for g in generators
    ]
    return sent(torch.stack(rows), like.device).to(like.dtype)


def noised(x0: Tensor, alpha_bar: float, generators: Sequence[torch.Generator]) -> Tensor:
    """x_t ~ q(x_t | x0) = sqrt(abar) x0 + sqrt(1 - abar) z, row i from generators[i]."""
    return math.sqrt(alpha_bar) * x0 + math.sqrt(1 - alpha_bar) * draw_noise(x0, generators)


def generator_of(purpose: str, *numbers: int) -> torch.Generator:
    """A CPU generator of its own for each purpose and numbers, as (seed, image)."""
    digest = hashlib.sha256(f"{purpose} {numbers}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def seeded_generators(
    count: int, seed: int = 0, first: int = 0, purpose: str = ""
) -> list[torch.Generator]:
    """One CPU generator an image, for images `first`, `first` + 1, ...; independent of batching.

    purpose: what is drawn, as "x_T"; noise of one purpose tells nothing of that of another. None
    is the noise of quality boosting.

    Raises:
        AsyrpError: a seed of more digits than torch can hold.
    """
    if abs(seed) > HIGHEST_SEED:
        raise AsyrpError(f"a seed lies in -{HIGHEST_SEED:,}..{HIGHEST_SEED:,}; got {seed}")
    numbers = range(first, first + count)
    if purpose:
        return [generator_of(purpose, seed, number) for number in numbers]
    return [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in numbers]

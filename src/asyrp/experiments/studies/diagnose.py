"""Diagnose: why an edit does nothing, measured where its effect can get lost."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.experiments.studies.common import Numbers, Verdict
from asyrp.method.asymmetric_process import Attribute, ReverseStep, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, full_length
from asyrp.reporting.figures import lines, new_figure

POOR_INVERSION = 0.02  # mean squared error in [-1, 1]
WEAK_SHIFT, WEAK_REACH, WEAK_FINAL = 0.02, 0.01, 0.02  # relative sizes below which little happens
HUGE = 0.8  # relative change of the picture above which it is another one


class _Watch:
    """A direction that notes how large its shift is beside h, on a grid of so many steps."""

    def __init__(self, attribute: Attribute, steps: int) -> None:
        self.attribute, self.steps = attribute, steps
        self.shares: dict[int, float] = {}

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """The direction's dh."""
        dh, own = self.attribute.direction(h, emb, t), self.attribute
        factor = abs(own.strength) * own.trained_steps / self.steps  # as `Attribute.dh` has it
        self.shares[t] = ratio(factor * dh.expand_as(h), h)
        return dh


def ratio(part: Tensor, whole: Tensor) -> float:
    """Size of one tensor over that of another."""
    return float(part.double().norm() / whole.double().norm().clamp(min=1e-12))


@torch.no_grad()
def measure(
    model: HSpaceUNet,
    images: Tensor,
    latents: Tensor,
    grid: Sequence[Pair],
    attribute: Attribute,
    t_boost: int = 0,
) -> dict[str, Any]:
    """Follow the shift from h through eps and P_t to the picture.

    Args:
        images: (n, c, height, width) that were inverted to `latents` at the grid's first timestep.
        attribute: its `trained_steps` as the walk shall use it.
    """
    watch = _Watch(attribute, full_length(grid))
    watched, count = replace(attribute, direction=watch), len(latents)
    plain = list(reverse_process(model, latents, grid, (), t_boost, seeded_generators(count)))
    acted = reverse_process(model, latents, grid, [watched], t_boost, seeded_generators(count))
    steps: list[dict[str, Any]] = []
    last, before = latents, torch.zeros_like(latents)
    for own, done in zip(plain, acted, strict=True):
        carried, added = done.x0_source - own.x0, done.x0 - done.x0_source
        steps.append(
            {
                "t": done.t,
                "edited": done.edited,
                "shift": watch.shares.get(done.t, 0.0),
                "eps": _share_of_eps(model, last, done),
                "reach": ratio(added, own.x0),
                "carried": ratio(carried, own.x0),
                "survives": ratio(carried, before) if before.any() else None,
            }
        )
        last, before = done.x, carried + added
    errors = (plain[-1].x - images.to(plain[-1].x)).square().mean((1, 2, 3))
    return {
        "steps": steps,
        "strength": attribute.strength,
        "interval": [attribute.t_start, attribute.t_edit],
        "final_change": ratio(last - plain[-1].x, plain[-1].x),
        "inversion_mse": errors.cpu().double().numpy(),
    }


def _share_of_eps(model: HSpaceUNet, x: Tensor, done: ReverseStep) -> float:
    """Size of the change of eps by dh over that of eps, at the step from x."""
    alpha_bar = model.schedule.alpha_bar(done.t)
    eps = x - math.sqrt(alpha_bar) * done.x0_source  # times sqrt(1 - abar), as the change is
    return ratio(math.sqrt(alpha_bar) * (done.x0_source - done.x0), eps)


def advice(numbers: Numbers) -> str:
    """One recommendation, for the first place at which the effect is lost."""
    acting = [step for step in numbers["steps"] if step["edited"]]
    error, final = float(np.mean(numbers["inversion_mse"])), numbers["final_change"]
    if not acting:
        start, end = numbers["interval"]
        return (
            f"no timestep of the grid lies in the editing interval ({start} down to {end}): raise "
            "t_start, lower t_edit, or use more steps"
        )
    if numbers["strength"] == 0:
        return "the strength is 0: set another one"
    if error > POOR_INVERSION:
        return (
            f"the inversion loses the image (MSE {error:.4f}): invert with --refinements 2 or more "
            "steps before looking at the edit"
        )
    if max(step["shift"] for step in acting) < WEAK_SHIFT:
        return "dh is tiny beside h: train longer or with a higher learning rate, or raise strength"
    if max(step["reach"] for step in acting) < WEAK_REACH:
        return "dh does not reach P_t: the decoder ignores it; raise the strength or train again"
    if final < WEAK_FINAL:
        return "P_t changes but the picture does not: edit over more timesteps (lower t_edit)"
    if final > HUGE:
        return "the picture changes beyond recognition: lower the strength or raise t_edit"
    return (
        "the edit reaches the picture; if it is the wrong change, look at the texts and the judge"
    )


def plot(numbers: Numbers) -> Figure:
    """Shift of h, what reaches eps and P_t at each step, and what survives it, over t."""
    figure, (left, right) = new_figure(5.2, 3.6, 2)
    t = [step["t"] for step in numbers["steps"]]
    series = {
        "dh beside h": [step["shift"] for step in numbers["steps"]],
        "change of eps beside eps": [step["eps"] for step in numbers["steps"]],
        "change of P_t at this step": [step["reach"] for step in numbers["steps"]],
        "change carried from steps before": [step["carried"] for step in numbers["steps"]],
    }
    lines(left, t, series, "timestep t", "relative size")
    known = [(step["t"], step["survives"]) for step in numbers["steps"] if step["survives"]]
    if known:
        times, kept = zip(*known, strict=True)
        lines(right, times, {"survives": kept}, "timestep t", "change of P_t that the step kept")
        right.axhline(1, color="#555555", linestyle=":", linewidth=1)
    for axes in (left, right):
        axes.invert_xaxis()
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """What the measurement says, ending with the recommendation."""
    acting = [step for step in numbers["steps"] if step["edited"]]
    error = float(np.mean(numbers["inversion_mse"]))
    if acting:
        kept = [step["survives"] for step in acting if step["survives"] is not None]
        mean = 100 * float(np.mean(kept)) if kept else 0.0
        validation = f", and a step keeps {mean:.0f} % of it (mean of {len(kept)})" if kept else ""
        way = (
            f"dh is up to {_most(acting, 'shift'):.0f} % of h, and changes eps by up to "
            f"{_most(acting, 'eps'):.1f} % and P_t by up to {_most(acting, 'reach'):.1f} % a step"
            f"{validation}; the picture changes by "
            f"{100 * numbers['final_change']:.0f} %"
        )
    else:
        way = "no step is edited"
    text = f"{way}. Inversion: MSE {error:.4f}. Recommendation: {advice(numbers)}."
    reaches = bool(acting) and numbers["final_change"] >= WEAK_FINAL and error <= POOR_INVERSION
    return Verdict("The edit reaches the picture", reaches, text)


def _most(steps: Sequence[Numbers], name: str) -> float:
    """The largest of a share, in %."""
    return 100 * max(float(step[name]) for step in steps)

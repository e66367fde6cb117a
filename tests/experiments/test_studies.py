"""The studies' arithmetic against second implementations, and their verdicts on made-up numbers."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from asyrp.domains.inverted_images import grid_from
from asyrp.errors import AsyrpError
from asyrp.experiments.studies import (
    consistency,
    diagnose,
    homogeneity,
    intervals,
    layers,
    linearity,
    robustness,
    theorem1,
)
from asyrp.experiments.studies.catalogue import STUDIES, TASKS, tasks_of, told
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import Pair, linear, paper_grid, times
from asyrp.metrics.grain import grain
from asyrp.reporting.statistics import Estimate, of_mean, resamples
from asyrp.storage.json_files import plain
from conftest import noise


class Mean:
    """The mean absolute difference."""

    name, thresholds = "mean", Thresholds()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)


def about(value: float, width: float = 0.05) -> Estimate:
    return Estimate(value, value - width, value + width, 24, 0)


def test_a_grid_from_a_timestep_has_it_and_the_lower_ones() -> None:
    grid = grid_from(512, 40)
    assert grid[0].t == 512
    assert times(grid)[:-1] == tuple(t for t in times(paper_grid(40)) if t < 512)
    own = paper_grid(40)[10].t
    assert grid_from(own, 40) == paper_grid(40)[10:]
    with pytest.raises(AsyrpError, match="no timestep below 0"):
        grid_from(0, 40)


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("pair", [Pair(999, 973), Pair(500, 499), Pair(51, 25), Pair(7, 6)])
def test_coefficients_are_the_equations(eta: float, pair: Pair) -> None:
    alpha = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    now, then = alpha[pair.t], alpha[pair.s]
    variance = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
    in_p = -np.sqrt(then) * np.sqrt(1 - now) / np.sqrt(now)
    found = theorem1.coefficients(linear(), pair, eta)
    assert found.asymmetric == pytest.approx(in_p)
    assert found.symmetric == pytest.approx(in_p + np.sqrt(1 - then - variance))


def test_theorem_1_on_a_network(model: HSpaceUNet) -> None:
    found = theorem1.measure(model, noise(2, 3, 16, 16), 512, Mean(), steps=60)
    assert set(found["curves"]) == {f"{n} steps, eta {e}" for n in (1000, 50, 40) for e in (0, 1)}
    assert all(curve["largest_error"] < 1e-4 for curve in found["curves"].values())
    middle = theorem1.at_middle(found["curves"]["40 steps, eta 0"])
    assert middle.symmetric == pytest.approx(-0.146, abs=0.004)
    for rows in found["pictures"].values():
        for row in rows.values():
            assert row["both"].value < row["P_t alone"].value
    text = theorem1.verdict(found).text
    assert "-0.14" in text
    theorem1.plot(found).canvas.draw()


def test_r_squared_is_scipys() -> None:
    x, y = np.linspace(-2, 2, 9), noise(9, seed=4).double().numpy() + np.linspace(0, 3, 9)
    assert linearity.r_squared(x.tolist(), y) == pytest.approx(stats.linregress(x, y).rvalue ** 2)
    assert linearity.r_squared([0.0, 1.0, 2.0], np.array([1.0, 3.0, 5.0])) == pytest.approx(1)
    assert linearity.r_squared([0.0, 1.0], np.ones(2)) == 0


@pytest.mark.parametrize(
    ("bent", "straight"),
    [
        (lambda x: np.tanh(1.5 * x), False),
        (lambda x: np.clip(x, -1, 1), False),
        (lambda x: 2 * x + 1, True),
        (lambda x: np.tanh(0.3 * x), True),
        (lambda x: x + 0.1 * np.sin(9 * x), True),
    ],
)
def test_a_line_that_bends_is_no_line(
    bent: Callable[[np.ndarray], np.ndarray], straight: bool
) -> None:
    x = np.array(linearity.STRENGTHS)
    assert linearity.r_squared(x.tolist(), bent(x)) > 0.9  # which passes them all
    assert (linearity.evenness(x.tolist(), bent(x)) > 0.5) is straight
    assert linearity.evenness(x.tolist(), 0 * x) == 0


def test_cosines_are_numpys() -> None:
    table = {t: noise(4, 2, 3, 3, seed=t).double() for t in (30, 10)}
    found = consistency.cosines(table)
    assert found["t"] == [10, 30]
    flat = {t: rows.flatten(1).numpy() for t, rows in table.items()}
    single = np.mean([rows.mean(0) for rows in flat.values()], axis=0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    for place, t in enumerate((10, 30)):
        mean = flat[t].mean(0)
        wanted = np.mean([cosine(row, mean) for row in flat[t]])
        assert found["with_mean"][place].value == pytest.approx(wanted)
        assert found["with_global"][place].value == pytest.approx(
            np.mean([cosine(row, single) for row in flat[t]])
        )
        assert found["mean_with_global"][place] == pytest.approx(cosine(mean, single))


def test_high_frequencies_of_waves() -> None:
    u = torch.arange(32) * 2 * torch.pi
    slow, fast = (torch.sin(u * f).expand(1, 3, 32, 32) for f in (4 / 32, 12 / 32))
    assert intervals.high_frequencies(slow)[0] == pytest.approx(0, abs=1e-9)
    assert intervals.high_frequencies(fast)[0] == pytest.approx(1)
    assert intervals.high_frequencies(slow + fast)[0] == pytest.approx(0.5)
    assert intervals.high_frequencies(torch.ones(1, 3, 8, 8))[0] == 0


def test_noise_is_scaled_by_h_and_differs_by_image() -> None:
    h, z = 3 * noise(2, 4, 5, 5), noise(2, 4, 5, 5, seed=1)
    dh = robustness.Noise(z, 0.5)(h, h, 0)
    scale = h.square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(dh / z, (0.5 * scale).view(-1, 1, 1, 1).expand_as(dh), rtol=1e-4)


def test_grain_is_noise_and_neither_edges_nor_blur() -> None:
    steps = torch.zeros(2, 3, 32, 32)
    steps[:, :, :, 16:] = 1.0
    steps[1, :, 8:24, 8:24] = -0.7
    ramp = torch.linspace(-1, 1, 32).expand(2, 3, 32, 32)
    assert grain(steps).tolist() == [0, 0]
    assert grain(ramp) == pytest.approx([0, 0], abs=1e-6)
    for sigma in (0.02, 0.3):
        loud = torch.cat([steps, ramp]) + sigma * noise(4, 3, 32, 32)
        assert grain(loud) == pytest.approx(4 * [sigma], rel=0.1)


FAR = {"h": (0.1, 0.2, 0.3), "eps": (0.5, 1.0, 2.0)}


def test_matching_compares_at_equal_change() -> None:
    rng = np.random.default_rng(0)
    level = np.array([[0.1], [0.3], [0.5]])
    moved = {"h": level + 0.01 * rng.random((3, 30)), "eps": 0.5 * level + 0 * rng.random((3, 30))}
    trust = {"h": 1 - 0.2 * moved["h"], "eps": 1 - 0.8 * moved["eps"]}
    rough = {"h": 0 * moved["h"], "eps": moved["eps"]}
    real = noise(30, 3, seed=8).double()
    seen = {k: [real + step for step in steps] for k, steps in FAR.items()}
    values = {"confidence": trust, "grain": rough}
    found = robustness.matched(moved, values, real, seen)
    low, high = moved["h"][0].mean(), moved["eps"][2].mean()
    assert found["at_change"] == pytest.approx((low + high) / 2)
    surer = found["confidence_difference"]
    assert surer.value == pytest.approx(0.6 * found["at_change"], rel=0.02)
    assert surer.low > 0
    assert found["grain_difference"].value == pytest.approx(-found["at_change"])
    # a shift by d moves the Frechet distance of 3 features to 3 d^2
    wanted = {
        k: np.interp(found["at_change"], moved[k].mean(1), 3 * np.square(FAR[k])) for k in FAR
    }
    away = wanted["h"] - wanted["eps"]
    assert found["fid_difference"].value == pytest.approx(away, abs=1e-4)
    assert found["unreached"] == 0
    apart = {"h": moved["h"], "eps": moved["eps"] + 9}
    nothing = {f"{name}_difference": None for name in ("confidence", "grain", "fid")}
    assert robustness.matched(apart, values, real, seen) == {"at_change": None, **nothing}


def test_resamples_out_of_reach_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    face = rng.random(30)  # what a face is moved by, from 0 to twice that, at both sizes of noise
    moved = {k: np.array([0 * face, top * face]) for k, top in (("h", 1.06), ("eps", 2.0))}
    moved["eps"] += 0.4
    trust = {k: 1 - moved[k] for k in moved}
    real = noise(30, 3, seed=8).double()
    seen = {k: [real, real + 1] for k in moved}
    found = robustness.matched(moved, {"confidence": trust}, real, seen)
    means = [{k: t[:, rows].mean(1) for k, t in moved.items()} for rows in resamples(30, 0, 1000)]
    level = found["at_change"]
    out = [not all(m[k][0] <= level <= m[k][1] for k in moved) for m in means]
    assert 0.05 < np.mean(out) < 0.5
    assert found["unreached"] == pytest.approx(np.mean(out))
    known = [  # confidence is 1 minus the change, so at one change both spaces have the same
        np.interp(level, m["h"], 1 - m["h"]) - np.interp(level, m["eps"], 1 - m["eps"])
        for m, lost in zip(means, out, strict=True)
        if not lost
    ]
    assert np.ptp(known) < 1e-9
    assert found["confidence_difference"].high - found["confidence_difference"].low < 1e-9


def diagnosed(  # type: ignore[no-untyped-def]
    model: HSpaceUNet, size: float, t_start: int | None = None, t_edit: int = 200, t_boost: int = 0
):
    latents, grid = noise(2, 3, 16, 16), paper_grid(5)
    direction = GlobalDirection(size * noise(*model.h_shape, seed=2))
    act = Attribute(direction, t_edit, trained_steps=5, t_start=t_start)
    from asyrp.method.editing import edit

    images = edit(model, latents, steps=5)
    return plain(diagnose.measure(model, images, latents, grid, act, t_boost))


def test_boosting_is_no_error_of_the_inversion(model: HSpaceUNet) -> None:
    plainly, boosted = (diagnosed(model, 3.0, t_edit=500, t_boost=boost) for boost in (0, 500))
    assert boosted["inversion_mse"] == plainly["inversion_mse"]
    assert max(boosted["inversion_mse"]) == pytest.approx(0, abs=1e-9)
    assert boosted["steps"][-1]["carried"] != plainly["steps"][-1]["carried"]


@torch.no_grad()
def first_change(model: HSpaceUNet, size: float) -> float:
    """Change of eps beside eps at the first step, straight from the network."""
    x, dh = noise(2, 3, 16, 16), size * noise(*model.h_shape, seed=2)
    encoded = model.encode(x, 999)
    eps = model.decode(encoded)
    return float((model.decode(encoded, encoded.h + dh) - eps).norm() / eps.norm())


def total(step: dict[str, float]) -> float:
    """About how large the change of P_t is after a step."""
    return float(np.hypot(step["reach"], step["carried"]))


def test_diagnosis_follows_the_shift(model: HSpaceUNet) -> None:
    found = diagnosed(model, 3.0)
    edited = [step for step in found["steps"] if step["edited"]]
    assert found["steps"][0]["survives"] is None
    assert edited[0]["eps"] == pytest.approx(first_change(model, 3.0), rel=1e-4)
    last = found["steps"][-1]
    assert last["survives"] == pytest.approx(last["carried"] / total(found["steps"][-2]), rel=0.5)
    assert [step["t"] for step in edited] == [999, 749, 499, 249]
    assert edited[0]["carried"] == pytest.approx(0, abs=1e-6)
    assert edited[0]["reach"] > 0
    assert found["final_change"] > 0
    assert max(found["inversion_mse"]) == pytest.approx(0, abs=1e-9)
    diagnose.plot(found).canvas.draw()
    assert diagnose.verdict(found).text.count("Recommendation") == 1


@torch.no_grad()
def test_the_shift_of_a_diagnosis_is_the_one_that_is_applied(model: HSpaceUNet) -> None:
    x, dh = noise(2, 3, 16, 16), noise(*model.h_shape, seed=2)
    act = Attribute(GlobalDirection(dh), 0, 2.0, trained_steps=10)
    found = diagnose.measure(model, x, x, paper_grid(5, 1000), act)
    h = model.encode(x, 999).h  # every step takes 2 x 10 / 5 times dh
    assert found["steps"][0]["shift"] == pytest.approx(float(4 * dh.expand_as(h).norm() / h.norm()))


def test_each_loss_has_its_recommendation(model: HSpaceUNet) -> None:
    assert "tiny beside h" in diagnose.advice(diagnosed(model, 1e-4))
    assert "no timestep of the grid" in diagnose.advice(diagnosed(model, 1.0, 700, 600))
    good = diagnosed(model, 3.0)
    assert "inversion loses" in diagnose.advice({**good, "inversion_mse": [0.1]})
    assert "strength is 0" in diagnose.advice({**good, "strength": 0})
    quiet = [{**step, "shift": 1.0, "reach": 1e-4} for step in good["steps"]]
    assert "does not reach P_t" in diagnose.advice({**good, "steps": quiet})
    loud = [{**step, "shift": 1.0, "reach": 0.5} for step in good["steps"]]
    assert "picture does not" in diagnose.advice({**good, "steps": loud, "final_change": 0.001})
    assert "beyond recognition" in diagnose.advice({**good, "steps": loud, "final_change": 2.0})
    assert "reaches the picture" in diagnose.advice({**good, "steps": loud, "final_change": 0.3})


def shares_of(success: float, leakage: float = 0.02) -> dict[str, object]:
    clean = about(success - leakage)
    return {
        "success": about(success),
        "leakage": about(leakage),
        "clean": clean,
        "lpips": about(0.1),
    }


def test_homogeneity_holds_where_h_makes_more_clean_edits() -> None:
    rows = ("0.5", "1", "1.5")
    own = {s: {"success": float(s != "0.5")} for s in rows}
    held = {s: {"success": 0.7, "leakage": 0.1} for s in rows}
    one = {"own": own, "validation": held, "strength": 1.5, "others": shares_of(0.8)}
    numbers = {
        "spaces": {"h": one, "eps": one},
        "validation": 12,
        "strengths": [0.5, 1.0, 1.5],
        "difference": about(0.3),
        "difference_2": about(0.2),
    }
    assert homogeneity.verdict(numbers).holds is True
    assert "by the second judge 20 % (15 to 25)" in homogeneity.verdict(numbers).text
    assert homogeneity.verdict({**numbers, "difference": about(0.01)}).holds is None
    assert homogeneity.verdict({**numbers, "difference": about(-0.3)}).holds is None  # they differ
    away = {"difference": about(-0.3), "difference_2": about(-0.3)}
    turned = homogeneity.verdict({**numbers, **away})
    assert turned.holds is False
    assert "by 0.100, that in h by 0.100" in turned.why
    assert "succeeds on its own image from strength 1," in turned.text
    assert "that suit 12 validation images best" in turned.text
    homogeneity.plot(numbers).canvas.draw()


def summed(beyond: float, **success: float) -> dict[str, object]:
    return {
        "together": list(success),
        "success": {name: about(value) for name, value in success.items()},
        "beyond_share": {name: about(beyond) for name in success},
        "beyond_share_2": {name: about(beyond) for name in success},
    }


def test_linearity_needs_a_straight_line_and_sums_that_keep_their_parts() -> None:
    sums = [
        summed(0.2, smiling=0.9),
        summed(0.2, glasses=0.8),
        summed(0.2, smiling=0.85, glasses=0.75),
    ]
    numbers = {
        "task": "smiling",
        "strengths": [-1.0, 0.0, 1.0],
        "log_odds": [about(v) for v in (-3, 0, 3)],
        "success": [about(v) for v in (0, 0.5, 1)],
        "lpips": [about(0.1)] * 3,
        "r2": about(0.97, 0.01),
        "evenness": about(0.8, 0.1),
        "r2_of_each": 0.93,
        "sums": sums,
    }
    assert linearity.verdict(numbers).holds is True
    bent = linearity.verdict(
        {**numbers, "r2": about(0.6), "log_odds": [about(v) for v in (0, 9, 9)]}
    )
    assert bent.holds is False
    assert "flattest between 0 and 1 (slope 0.0, mean 4.5)" in bent.why
    unsure = linearity.verdict({**numbers, "r2": about(0.91)})
    assert unsure.holds is None
    clipped = linearity.verdict({**numbers, "evenness": about(0.0, 0.1)})
    assert clipped.holds is False  # whatever R2 says
    assert "at its flattest it grows 0.00 (-0.10 to 0.10) times as fast" in clipped.text
    alone = linearity.verdict({**numbers, "sums": sums[:1]})
    assert (alone.holds, alone.claim) == (True, "The edit is linear in its strength")
    rare = [summed(0.0, smiling=0.1), *sums[1:]]
    assert "smiling seldom succeeds alone" in linearity.verdict({**numbers, "sums": rare}).why
    for beyond, wanted in ((-0.3, False), (0.02, None), (0.2, True)):
        row = summed(beyond, smiling=0.7, glasses=0.6)
        assert linearity.verdict({**numbers, "sums": [*sums[:2], row]}).holds is wanted
    never = [summed(0.0, smiling=0.0), *sums[1:]]
    assert linearity.verdict({**numbers, "sums": never}).holds is None
    linearity.plot(numbers).canvas.draw()


def test_robustness_is_undecided_where_grain_and_the_judge_disagree() -> None:
    one = {"sizes": [1.0, 2.0], "lpips": [about(0.1), about(0.2)]}
    one |= {"confidence": [about(0.9), about(0.8)], "fid": [about(1), about(2)]}
    one |= {"grain": [about(0.1), about(0.2)]}
    numbers = {
        "spaces": {"h": one, "eps": one},
        "confidence_of_reconstructions": about(0.95),
        "fid_of_reconstructions": about(0.1),
        "grain_of_reconstructions": about(0.0002),
        "at_change": 0.15,
        "unreached": 0.0,
        "confidence_difference": about(0.2),
        "fid_difference": about(-1.0),
        "grain_difference": about(-0.366),
    }
    assert robustness.verdict(numbers).holds is True
    assert "What differs" not in told(robustness.verdict(numbers))
    assert "resamples" not in robustness.verdict(numbers).text
    some, many = (robustness.verdict({**numbers, "unreached": share}) for share in (0.04, 0.06))
    assert (some.holds, many.holds) == (True, None)
    assert "In 4.0 % of the resamples one kind of noise does not reach" in some.text
    assert "too many" in many.text
    blind = {**numbers, "fid_difference": about(1.0), "confidence_difference": about(-0.2)}
    assert robustness.verdict(blind).holds is None  # the judge says no, and grain yes
    assert "grain -0.3660" in robustness.verdict(blind).text
    turned = {**blind, "grain_difference": about(0.2)}
    assert robustness.verdict(turned).holds is False
    assert "0.10 at 1, 0.20 at 2" in robustness.verdict(turned).why
    assert robustness.verdict({**numbers, "confidence_difference": None}).holds is None
    robustness.plot(numbers).canvas.draw()


def test_consistency_needs_one_dh_to_do_what_f_t_does() -> None:
    near = {"lpips_to_f_t": about(0.02), "success_minus_f_t": about(-0.02)}
    near["success_2_minus_f_t"] = near["success_minus_f_t"]
    edits = {name: {**shares_of(0.9), **near} for name in ("f_t", "mean over faces", "one dh")}
    row = {"success": about(0.9), "leakage": about(0.0), "lpips": about(0.1)}
    numbers = {
        "recorded": 64,
        "margin": 0.1,
        "cosines": {
            "t": [10, 20],
            "with_mean": [about(0.9)] * 2,
            "with_global": [about(0.8)] * 2,
            "mean_with_global": [0.9, 0.9],
        },
        "edits": edits,
        "transfer": {"steps": [10, 1000], "with_rule": [row, row], "without_rule": [row, None]},
    }
    assert consistency.verdict(numbers).holds is True
    text = consistency.verdict(numbers).text
    assert "its mean over the 64 training images" in text
    assert "one dh minus f_t on the same images: -2 % (-7 to 3), by the second judge " in text
    for change, width, wanted in (
        (-0.7, 0.05, False),
        (0.3, 0.05, False),
        (-0.08, 0.05, None),
        (-0.3, 0.4, None),  # so few faces that everything is possible
        (0.0, 0.3, None),
    ):
        lost = about(change, width)
        one = {**edits["one dh"], "success_minus_f_t": lost, "success_2_minus_f_t": lost}
        found = consistency.verdict({**numbers, "edits": {**edits, "one dh": one}})
        assert found.holds is wanted
    rare = {name: {**one, "success": about(0.02)} for name, one in edits.items()}
    assert consistency.verdict({**numbers, "edits": rare}).holds is None
    assert "fewer than 30%" in consistency.verdict({**numbers, "edits": rare}).why
    apart = {**numbers["cosines"], "with_mean": [about(0.3)] * 2}
    assert consistency.verdict({**numbers, "cosines": apart}).holds is False
    consistency.plot(numbers).canvas.draw()


def test_layers_hold_where_the_bottleneck_is_best() -> None:
    blocks = {
        "down 0": {"shape": [16, 32, 32], **shares_of(0.2)},
        "mid": {"shape": [128, 8, 8], **shares_of(0.9)},
        "up 0": {"shape": [128, 16, 16], **shares_of(0.7)},
    }
    base = {"blocks": blocks, "train_faces": 24, "validation": 12, "best_other": "up 0"}
    base |= {"mid_minus_best": about(0.2), "mid_minus_best_2": about(0.2)}
    assert layers.verdict(base).holds is True
    assert "at up 0, the best other block on 12 validation images" in layers.verdict(base).text
    assert layers.verdict({**base, "mid_minus_best": about(0.2, 0.3)}).holds is None
    assert layers.verdict({**base, "mid_minus_best": None}).holds is None
    far = {**blocks, "mid": {"shape": [1, 1, 1], **shares_of(0.3)}}
    far = {k: {**v, "fid": about(2)} for k, v in far.items()}
    assert layers.verdict({**base, "mid_minus_best_2": about(-0.2)}).holds is None
    behind = {"mid_minus_best": about(-0.4), "mid_minus_best_2": about(-0.4)}
    found = layers.verdict({**base, "blocks": far, **behind})
    assert found.holds is False
    assert "16 times as wide" in found.why
    assert "Frechet distance 2.00 (1.95 to 2.05) against" in found.why
    layers.plot(base).canvas.draw()


def test_intervals_compare_the_automatic_choice_with_the_best_cell() -> None:
    cells = [
        {
            "t_edit": e,
            "t_boost": b,
            "fid": 1.0 if b else None,
            "success": 0.5 + e / 1000,
            "clean": 0.4,
        }
        for e in (100, 300)
        for b in (0, 50)
    ]
    kinds = {"with": 0.8, "without": 0.9}
    numbers = {
        "t_edits": [100, 300],
        "t_boosts": [0, 50],
        "cells": cells,
        "automatic": [100, 50],
        "best": [300, 0],
        "best_minus_automatic": about(0.03),
        "best_minus_automatic_2": about(0.03),
        "validation": 12,
        "margin": 0.1,
        "clean": {"best": about(0.5), "automatic": about(0.47)},
        "boosting": {
            "faces": {"energy": about(0.05)},
            **{k: {"fid": about(v), "energy": about(0.04)} for k, v in kinds.items()},
            "fid_difference": about(-0.1),
        },
    }
    assert intervals.verdict(numbers).holds is True
    assert intervals.verdict({**numbers, "best_minus_automatic": about(0.3)}).holds is None
    far = {"best_minus_automatic": about(0.3), "best_minus_automatic_2": about(0.3)}
    assert intervals.verdict({**numbers, **far}).holds is False
    few = {**numbers, "best_minus_automatic": about(0.1, 0.2)}  # 0 is possible, and 30 points too
    assert intervals.verdict(few).holds is None
    assert "does not show here" in intervals.verdict(few).why
    assert "best on 12 validation images" in intervals.verdict(few).text
    same = {"best": [100, 50], "best_minus_automatic": about(0.0, 0.2)}
    assert intervals.verdict({**numbers, **same}).holds is None  # by the luck of that choice
    none = {"best": about(0.2, 0.01), "automatic": about(0.2, 0.01)}  # ten points are half of it
    assert intervals.verdict({**numbers, "clean": none}).holds is None
    for change, wanted in ((0.01, None), (0.2, False)):
        boosting = {**numbers["boosting"], "fid_difference": about(change)}
        found = intervals.verdict({**numbers, "boosting": boosting})
        assert found.holds is wanted
        assert "lack 20 %" in found.why
    none_show = {k: {"energy": about(0.04)} for k in ("faces", "with", "without")}
    few = intervals.verdict({**numbers, "boosting": {**none_show, "fid_difference": None}})
    assert few.holds is None
    assert "Too few images show the value" in few.text
    intervals.plot(numbers).canvas.draw()


def test_studies_by_name() -> None:
    drawn: Any = SimpleNamespace(tasks={"other": None, **dict.fromkeys(TASKS)})
    assert tasks_of("theorem1", drawn) == ()
    assert tasks_of("linearity", drawn) == TASKS
    assert len(STUDIES) == 8
    with pytest.raises(AsyrpError, match=r"unknown study 'x'; needed one of: theorem1"):
        tasks_of("x", drawn)


def test_estimates_come_back_from_json() -> None:
    from asyrp.experiments.studies.common import as_estimates

    found = of_mean([0.0, 1.0, 1.0])
    numbers = {"a": [found, 0.5], "b": {"c": found}, "name": "x"}
    assert as_estimates(plain(numbers)) == numbers

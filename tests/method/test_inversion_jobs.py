"""Exact inversions through invert, edit, latent files and stores."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, inversion_grid, invert, latents_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import INVERSIONS, Name, inversion_of
from asyrp.method.latent_cache import Recipe, hash_of, invert_into, latents_from, recipe_of
from asyrp.method.latent_file import Latents, load_latents, save_latents
from asyrp.method.schedule import cosine
from asyrp.options.shared import InversionName
from asyrp.storage.record_store import RecordStore, key_of
from conftest import noise, tiny_model

EXACT: tuple[Name, ...] = ("belm", "bdia", "edict", "ddpm")
STEPS = 6


def images(count: int = 3) -> Tensor:
    return noise(count, 3, 16, 16, seed=7).clamp(-1, 1)


def shifted(model: HSpaceUNet, strength: float = 1.0) -> Attribute:
    return Attribute(GlobalDirection(noise(*model.h_shape)), 400, strength, STEPS, t_start=800)


def test_the_command_line_knows_every_inversion() -> None:
    assert set(get_args(InversionName)) == set(get_args(Name)) == set(INVERSIONS)


@pytest.mark.parametrize("name", EXACT)
def test_images_come_back_and_edits_do_not_depend_on_the_batch(
    name: Name, model: HSpaceUNet
) -> None:
    reports: list[tuple[int, int]] = []
    x = images()
    done = invert(
        model, x, STEPS, batch_size=2, report=lambda *at: reports.append(at), inversion=name
    )
    assert done.errors.max() < 1e-9
    assert done.reconstructions.dtype == torch.float32
    assert done.latents.shape[1] == 3 * inversion_of(name).parts(STEPS)
    assert [at[0] for at in reports] == sorted({at[0] for at in reports})
    assert reports[-1][0] == reports[-1][1] == 2 * 3 * STEPS
    act = [shifted(model)]
    whole = edit(model, done.latents, act, STEPS, inversion=name)
    single = edit(model, done.latents, act, STEPS, batch_size=1, inversion=name)
    assert (whole - single).square().mean() < 1e-3 * (whole - x).square().mean()
    assert whole.dtype == torch.float32
    assert (whole - x).square().mean() > 1e-4
    again = latents_of(model, x, STEPS, batch_size=2, inversion=name)
    assert torch.equal(again, done.latents)


@pytest.mark.parametrize("name", EXACT)
def test_an_inversion_may_stop_on_the_way(name: Name, model: HSpaceUNet) -> None:
    done = invert(model, images(1), STEPS, up_to=650, inversion=name)
    below = len(inversion_grid(model, STEPS, 650))
    assert done.latents.shape[1] == 3 * inversion_of(name).parts(below)
    assert done.errors.max() < 1e-9


def test_latents_are_led_back_by_their_own_inversion_alone(model: HSpaceUNet) -> None:
    latents = latents_of(model, images(1), STEPS, inversion="belm")
    with pytest.raises(AsyrpError, match=r"needs images of shape \(n, 3, 16, 16\); got \(1, 6,"):
        edit(model, latents, (), STEPS)
    with pytest.raises(AsyrpError, match=r"latents of this inversion, 7 x each, of shape \(n, 21,"):
        edit(model, latents, (), STEPS, inversion="ddpm")
    with pytest.raises(AsyrpError, match="one of ddim, belm"):
        edit(model, latents, (), STEPS, inversion="null-text")  # type: ignore[arg-type]


# files


@pytest.mark.parametrize("name", ["ddim", *EXACT])
def test_a_latent_file_says_its_inversion(name: Name, model: HSpaceUNet, tmp_path: Path) -> None:
    done = invert(model, images(1), STEPS, inversion=name)
    kept = Latents(done.latents, ("a.png",), STEPS, "f" * 64, (0.0,), name)
    save_latents(tmp_path / "latents.safetensors", kept)
    read = load_latents(tmp_path / "latents.safetensors")
    assert read.inversion == name
    back = edit(model, read.x, (), read.steps, inversion=read.inversion)
    assert torch.equal(back, done.reconstructions)


def test_a_latent_file_of_before_is_of_ddim_and_an_unknown_one_is_damaged(tmp_path: Path) -> None:
    header = {"format": "asyrp-latents", "version": "1", "names": '["a"]', "steps": "4"}
    header |= {"fingerprint": "f", "errors": "[0]"}
    save_file({"x": images(1)}, tmp_path / "old.safetensors", header)
    assert load_latents(tmp_path / "old.safetensors").inversion == "ddim"
    save_file({"x": images(1)}, tmp_path / "odd.safetensors", header | {"inversion": "null"})
    with pytest.raises(AsyrpError, match="is damaged: the inversion is one of"):
        load_latents(tmp_path / "odd.safetensors")


# stores


def test_a_store_keeps_latents_of_every_inversion_apart(model: HSpaceUNet, tmp_path: Path) -> None:
    store, x = RecordStore(tmp_path / "store"), images(1)
    for name in INVERSIONS:
        recipe = recipe_of(model, STEPS, inversion=name)
        (kept,) = invert_into(store, model, recipe, x)
        assert kept.new
        found = latents_from(store, [kept.key])
        assert torch.equal(found, latents_of(model, x, STEPS, inversion=name))


def test_refinements_are_part_of_a_recipe_of_ddim_alone() -> None:
    ddim, image = Recipe("f" * 64, "torch.float32", (0, 999)), images(1)[0]
    before = {"network": "f" * 64, "dtype": "torch.float32", "times": (0, 999)}
    before |= {"convention": "source", "refinements": 0}
    assert ddim.key(image) == key_of("latent", before, hash_of(image))  # as before there were more
    assert ddim.key(image) != replace(ddim, refinements=1).key(image)
    belm = replace(ddim, inversion="belm")
    assert belm.key(image) == replace(belm, refinements=1).key(image) != ddim.key(image)


# where walks begin


@pytest.mark.parametrize("name", ["ddim", *EXACT])
def test_walks_begin_where_alpha_bar_allows(name: Name) -> None:
    steep = HSpaceUNet(tiny_model().unet, cosine())
    top = inversion_grid(steep, 40, None, name)[0].t
    assert top == 973  # of 999, where an error of 1 in eps would move the next x by hundreds
    done = invert(steep, images(1), 40, refinements=2, inversion=name)
    assert done.latents.isfinite().all()
    assert name == "ddim" or done.errors.max() < 1e-6


def test_a_shorter_grid_keeps_the_scale_of_a_direction() -> None:
    """S / S~ is of whole grids: the steps that are left out take nothing with them."""
    steep = HSpaceUNet(tiny_model().unet, cosine())
    seen: list[float] = []

    class Spy(Attribute):
        def dh(self, h: Tensor, emb: Tensor, t: int, steps: int) -> Tensor:
            seen.append(self.strength * self.trained_steps / steps)
            return torch.zeros_like(h)

    one = shifted(steep)
    act = Spy(one.direction, 400, 1.0, 20, t_start=800)
    edit(steep, noise(1, 3, 16, 16), [act], 40)
    assert seen == pytest.approx([20 / 40] * len(seen))
    assert len(seen) > 5

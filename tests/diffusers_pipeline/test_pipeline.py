"""AsyrpPipeline: the walk of the library under the conventions of diffusers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DModel
from torch import Tensor

import asyrp
from asyrp.diffusers_pipeline import AsyrpPipeline
from asyrp.errors import AsyrpError
from asyrp.method.ddim import seeded_generators
from asyrp.method.editing import edit, invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import cosine
from asyrp.networks.direction_model import DirectionModel
from asyrp.storage.images import from_uint8, to_uint8
from conftest import noise
from pipelines import (
    STEPS,
    assert_same,
    generators,
    network,
    pictures,
    pipeline,
    saved,
    start,
    unet,
)


@pytest.fixture
def pipe() -> AsyrpPipeline:
    return pipeline(DirectionModel.of(saved()))


@torch.no_grad()
def test_edits_images_exactly_as_the_library_does(pipe: AsyrpPipeline) -> None:
    model, images = network(), pictures(2)
    x = from_uint8(np.stack([np.asarray(i) for i in images]))
    latents = invert(model, x, STEPS, refinements=1).latents
    act = saved().attribute()
    wanted = edit(model, latents, [act], STEPS)
    found = pipe(images, num_inference_steps=STEPS, t_boost=0, output_type="latent").images
    assert_same(found, wanted)
    shown = pipe(images, num_inference_steps=STEPS, t_boost=0, output_type="np").images
    assert np.abs(np.round(shown * 255) - to_uint8(wanted)).max() <= 1
    options = {"num_inference_steps": STEPS, "t_boost": 0, "output_type": "latent"}
    plain = pipe(images, strength=0.0, **options).images
    assert_same(plain, edit(model, latents, (), STEPS))
    assert (plain - found).abs().max() > 1e-2 * found.abs().max()


@torch.no_grad()
def test_is_made_of_a_network_and_a_direction_of_the_library(tmp_path: Path) -> None:
    model = HSpaceUNet(unet(), cosine(), "v_prediction")
    AsyrpPipeline.of(model, saved()).save_pretrained(tmp_path)
    pipe = AsyrpPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    x, act = start(2), saved().attribute()
    found = pipe(latents=x, num_inference_steps=STEPS, t_boost=0, output_type="latent").images
    assert_same(found, edit(model, x, [act], STEPS))
    with pytest.raises(AsyrpError, match="rescales timesteps"):
        AsyrpPipeline.of(HSpaceUNet(unet(), cosine(), time_scale=0.25))


@torch.no_grad()
def test_strength_counts_as_the_commands_and_the_interval_can_be_replaced(
    pipe: AsyrpPipeline,
) -> None:
    model, latents = network(), start(2)
    assert saved().card.strength != 1
    act = saved().attribute(-0.5 * saved().card.strength, 700, 900)
    wanted = edit(model, latents, [act], STEPS)
    options = {"strength": -0.5, "t_edit": 700, "t_start": 900, "t_boost": 0}
    found = pipe(latents=latents, num_inference_steps=STEPS, output_type="latent", **options)
    assert_same(found.images, wanted)


@torch.no_grad()
def test_the_card_says_where_boosting_begins(pipe: AsyrpPipeline) -> None:
    latents = start(2)
    wanted = edit(network(), latents, [saved().attribute()], STEPS, t_boost=150, seed=5)
    options = {"num_inference_steps": STEPS, "output_type": "latent"}
    found = pipe(latents=latents, generator=seeded_generators(2, 5), **options).images
    assert_same(found, wanted)
    plain = pipe(latents=latents, t_boost=0, **options).images
    assert (plain - found).abs().max() > 2e-3 * found.abs().max()


@torch.no_grad()
def test_generator_lists_make_images_independent_of_the_batch(pipe: AsyrpPipeline) -> None:
    def drawn(*seeds: int) -> Tensor:
        made = pipe(
            batch_size=len(seeds),
            generator=generators(*seeds),
            num_inference_steps=STEPS,
            output_type="latent",
        )
        images: Tensor = made.images
        return images

    together = drawn(1, 2, 1)
    assert_same(together[1:2], drawn(2))
    assert_same(together[0], together[2])
    assert (together[0] - together[1]).abs().max() > 0.01


@torch.no_grad()
def test_a_single_generator_and_torchs_own_repeat_themselves(pipe: AsyrpPipeline) -> None:
    def drawn(generator: torch.Generator | None) -> Tensor:
        made = pipe(
            batch_size=2, generator=generator, num_inference_steps=STEPS, output_type="latent"
        )
        images: Tensor = made.images
        return images

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        own = drawn(None)
    assert_same(drawn(*generators(5)), own)
    assert (own[0] - own[1]).abs().max() > 0.01


@torch.no_grad()
def test_output_types_and_the_tuple(pipe: AsyrpPipeline) -> None:
    latents = start(2)

    def made(kind: str) -> Any:
        return pipe(latents=latents, num_inference_steps=STEPS, t_boost=0, output_type=kind).images

    pil, array, tensor = made("pil"), made("np"), made("pt")
    assert pil[0].size == (16, 16)
    assert array.shape == (2, 16, 16, 3)
    assert tensor.shape == (2, 3, 16, 16)
    assert 0 <= array.min() <= array.max() <= 1
    assert np.abs(np.asarray(pil[1]) / 255 - array[1]).max() <= 0.5 / 255 + 1e-6
    first = pipe(latents=latents, num_inference_steps=STEPS, t_boost=0, return_dict=False)
    assert isinstance(first, tuple)
    assert np.array_equal(np.asarray(first[0][0]), np.asarray(pil[0]))


@torch.no_grad()
def test_a_callback_sees_every_step_and_may_change_or_end_the_walk(pipe: AsyrpPipeline) -> None:
    seen: list[tuple[int, int]] = []

    def watch(pipe: AsyrpPipeline, step: int, t: int, tensors: dict[str, Tensor]) -> Any:
        seen.append((step, t))
        assert tensors["latents"].shape == (1, 3, 16, 16)
        return {}

    options = {"num_inference_steps": STEPS, "t_boost": 0, "output_type": "latent"}
    x = start(1)
    plain = pipe(latents=x, **options).images
    assert_same(pipe(latents=x, callback_on_step_end=watch, **options).images, plain)
    assert [step for step, _ in seen] == list(range(STEPS))
    assert seen[0][1] == 999
    assert seen[-1][1] == 0

    def zero(pipe: AsyrpPipeline, step: int, t: int, tensors: dict[str, Tensor]) -> Any:
        return {"latents": torch.zeros_like(tensors["latents"])} if step == STEPS - 1 else tensors

    assert not pipe(latents=x, callback_on_step_end=zero, **options).images.any()

    def stop(pipe: AsyrpPipeline, step: int, t: int, tensors: dict[str, Tensor]) -> Any:
        seen.append((step, t))
        pipe._interrupt = step == 2
        return tensors

    seen.clear()
    pipe(latents=x, callback_on_step_end=stop, **options)
    assert len(seen) == 3
    pipe(latents=x, callback_on_step_end=watch, **options)
    assert len(seen) == 3 + STEPS


def test_progress_counts_the_inversion_and_the_walk(
    pipe: AsyrpPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe.set_progress_bar_config(disable=False, ncols=60)
    pipe(pictures(1), num_inference_steps=STEPS, output_type="pt", t_boost=0)
    assert f"{2 * STEPS - 1}/{2 * STEPS - 1}" in capsys.readouterr().err


@torch.no_grad()
def test_saving_and_loading_changes_nothing(pipe: AsyrpPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    assert (tmp_path / "direction" / "config.json").is_file()
    assert (tmp_path / "direction" / "diffusion_pytorch_model.safetensors").is_file()
    again = AsyrpPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert isinstance(again.direction, DirectionModel)
    assert isinstance(again.unet, UNet2DModel)
    options = {"num_inference_steps": STEPS, "output_type": "latent"}
    first, second = (
        p(latents=start(1), generator=generators(7), **options).images for p in (pipe, again)
    )
    assert_same(second, first)


@torch.no_grad()
def test_a_pipeline_without_a_direction_reconstructs(tmp_path: Path) -> None:
    bare = pipeline()
    bare.save_pretrained(tmp_path)
    again = AsyrpPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert again.direction is None
    x = start(1)
    found = again(latents=x, num_inference_steps=STEPS, output_type="latent").images
    assert_same(found, edit(network(), x, (), STEPS))
    with_one = AsyrpPipeline.from_pretrained(tmp_path, direction=DirectionModel.of(saved()))
    with_one.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": STEPS, "t_boost": 0, "output_type": "latent"}
    edited = with_one(latents=x, **options).images
    assert (edited - found).abs().max() > 1e-2 * found.abs().max()
    with pytest.raises(AsyrpError, match="has no direction to apply"):
        again(latents=x, strength=1.0)


def test_inputs_that_do_not_fit_are_refused_in_one_line(pipe: AsyrpPipeline) -> None:
    latents = noise(2, 3, 16, 16)
    for options, message in (
        ({"image": pictures(1), "latents": latents}, "an image or latents, not both"),
        ({"latents": noise(1, 3, 8, 8)}, r"needs x of shape \(n, 3, 16, 16\)"),
        ({"latents": latents, "generator": generators(1)}, "2 images need 2 generators"),
        ({"prompt": "a face"}, "takes no prompt"),
        ({"t_boost": 500}, "t_boost 500 > t_edit 400"),
        ({"num_inference_steps": 1}, "number of steps"),
        ({"callback_on_step_end_tensor_inputs": ["h"]}, "it asked for h"),
    ):
        with pytest.raises(AsyrpError, match=message) as got:
            pipe(**options)
        assert "\n" not in str(got.value)


def test_it_is_exported() -> None:
    assert asyrp.AsyrpPipeline is AsyrpPipeline
    assert asyrp.DirectionModel is DirectionModel

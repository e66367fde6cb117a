"""AsyrpPipeline and DirectionModel: the walk of the library under the conventions of diffusers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

import asyrp
from asyrp.api import edit, invert
from asyrp.checkpoints.latent import Prompt, load_latent
from asyrp.ddim import seeded_generators
from asyrp.direction_files import DirectionCard, SavedDirection, load_direction, save_direction
from asyrp.direction_model import DirectionModel
from asyrp.directions import GlobalDirection, ImplicitDirection, TimestepDirection
from asyrp.errors import AsyrpError
from asyrp.images import from_uint8, to_uint8
from asyrp.pipeline import AsyrpPipeline
from asyrp.schedule import linear
from asyrp.unet import HSpaceUNet
from conftest import noise, tiny_unet
from tiny_folders import (
    latent_scheduler,
    save_stable_diffusion,
    tiny_condition_unet,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
)

STEPS = 8


def unet() -> UNet2DModel:
    """Tamed: the walk of a random network as it is leaves [-1, 1] by far."""
    made = tiny_unet()
    with torch.no_grad():
        for weight in made.conv_out.parameters():
            weight.mul_(0.005)
    return made


def network() -> HSpaceUNet:
    return HSpaceUNet(unet(), linear())


def start(count: int, *shape: int) -> Tensor:
    """x_T as small as would lead a network that predicts next to nothing to [-1, 1]."""
    return noise(count, *(shape or (3, 16, 16))) * 0.01


def assert_same(found: Tensor, wanted: Tensor) -> None:
    """Equal up to rounding, in units of the largest value."""
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()


def scheduler() -> DDIMScheduler:
    return DDIMScheduler(clip_sample=False)


def implicit(model: HSpaceUNet) -> ImplicitDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)


def saved(direction: nn.Module | None = None, **changes: Any) -> SavedDirection:
    model = network()
    facts = {"t_edit": 400, "t_boost": 150, "trained_steps": STEPS, "strength": 2.0, **changes}
    card = DirectionCard("face", "smiling face", fingerprint=model.fingerprint(), **facts)
    return SavedDirection(direction or implicit(model), card)


def pipeline(direction: DirectionModel | None = None, **parts: Any) -> AsyrpPipeline:
    made = {"unet": unet(), "scheduler": scheduler(), "direction": direction, **parts}
    pipe = AsyrpPipeline(**made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def pipe() -> AsyrpPipeline:
    return pipeline(DirectionModel.of(saved()))


def pictures(count: int) -> list[Image.Image]:
    values = np.random.default_rng(4).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return [Image.fromarray(v) for v in values]


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


# --- f_t as a model of diffusers ---


DIRECTIONS: dict[str, Callable[[], nn.Module]] = {
    "f_t": lambda: implicit(network()),
    "f_t without time, adm": lambda: ImplicitDirection(16, 32, "adm", False, use_time=False),
    "table": lambda: TimestepDirection({3: noise(16, 8, 8), 700: noise(16, 8, 8, seed=1)}),
    "global": lambda: GlobalDirection(noise(16, 1, 1)),
}


@pytest.mark.parametrize("name", DIRECTIONS)
@torch.no_grad()
def test_a_direction_survives_as_a_model_and_as_a_file(name: str, tmp_path: Path) -> None:
    first = saved(DIRECTIONS[name](), training={"epochs": 2}, t_start=900)
    DirectionModel.of(first).save_pretrained(tmp_path / "model")
    loaded = DirectionModel.from_pretrained(tmp_path / "model")
    h, emb = noise(2, 16, 8, 8), noise(2, 32, seed=1)
    for t in (0, 600):
        assert torch.equal(loaded(h, emb, t), first.direction(h, emb, t))
    assert loaded.card == first.card
    assert not any(p.requires_grad for p in loaded.parameters())
    save_direction(tmp_path / "d.safetensors", *loaded.saved())
    again = load_direction(tmp_path / "d.safetensors", network())
    assert again.card == first.card
    assert torch.equal(again.direction(h, emb, 600), first.direction(h, emb, 600))


def test_a_direction_without_a_card_says_so() -> None:
    with pytest.raises(AsyrpError, match="no card"):
        _ = DirectionModel(channels=16, emb_channels=32).card


# --- the pipeline ---


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
def test_strength_and_interval_of_the_card_can_be_replaced(pipe: AsyrpPipeline) -> None:
    model, latents = network(), start(2)
    act = saved().attribute(-0.5, 700, 900)
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
    assert (plain - found).abs().max() > 1e-2 * found.abs().max()


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
        p(latents=start(1), generator=generators(7), **options).images
        for p in (pipe, again)
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


# --- latents ---


def latent_saved(channels: int, t_edit: int = 500) -> SavedDirection:
    direction = GlobalDirection(noise(channels, 1, 1) * 0.3)
    return saved(direction, t_edit=t_edit, t_boost=0)


@torch.no_grad()
def test_latent_diffusion_with_a_silent_config(tmp_path: Path) -> None:
    pipe = pipeline(
        DirectionModel.of(latent_saved(16)),
        unet=tiny_latent_unet(),
        scheduler=latent_scheduler(),
        vqvae=tiny_vq(),
    )
    assert pipe.vqvae.config.scaling_factor == 1.0
    pipe.save_pretrained(tmp_path)
    model = load_latent(tmp_path)
    assert model.space.scale == 1.0  # type: ignore[attr-defined]
    images = pictures(2)
    codes = model.space.encode(from_uint8(np.stack([np.asarray(i) for i in images])))
    latents = invert(model, codes, STEPS, refinements=1).latents
    edited = edit(model, latents, [latent_saved(16).attribute()], STEPS)
    again = AsyrpPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": STEPS, "output_type": "pt"}
    wanted = (model.space.decode(edited) / 2 + 0.5).clamp(0, 1)
    for one in (pipe, again):
        found = one(images, **options).images
        assert found.shape == (2, 3, 16, 16)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@torch.no_grad()
def test_stable_diffusion_with_a_prompt(tmp_path: Path, guidance: float) -> None:
    save_stable_diffusion(tmp_path)
    pipe = pipeline(
        DirectionModel.of(latent_saved(16)),
        unet=tiny_condition_unet(),
        scheduler=latent_scheduler(),
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(tmp_path / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(tmp_path / "tokenizer"),
    )
    prompt = {"prompt": "a face", "negative_prompt": "blurry", "guidance_scale": guidance}
    x = noise(2, 4, 8, 8)
    options = {"num_inference_steps": STEPS, "output_type": "pt", "latents": x}
    found = pipe(**prompt, **options).images
    model = load_latent(tmp_path, prompt=Prompt("a face", guidance, "blurry"))
    edited = edit(model, x, [latent_saved(16).attribute()], STEPS)
    wanted = (model.space.decode(edited) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    assert (found - pipe(**options).images).abs().max() > 1e-3
    bare = pipeline(unet=tiny_condition_unet(), scheduler=latent_scheduler(), vae=tiny_kl())
    with pytest.raises(AsyrpError, match="needs its tokenizer and text_encoder"):
        bare(**options)


@torch.no_grad()
def test_model_offload_changes_nothing() -> None:
    """With the CPU as the accelerator, which shows that the hooks do not get in the way."""
    parts = {"unet": tiny_latent_unet(), "scheduler": latent_scheduler(), "vqvae": tiny_vq()}
    pipe = pipeline(DirectionModel.of(latent_saved(16)), **parts)
    options = {"num_inference_steps": STEPS, "output_type": "latent"}
    plain = pipe(pictures(1), **options).images
    pipe.enable_model_cpu_offload(device="cpu")
    calls = []
    original = pipe.unet._hf_hook.pre_forward
    pipe.unet._hf_hook.pre_forward = lambda *given: calls.append(original(*given))
    assert_same(pipe(pictures(1), **options).images, plain)
    assert len(calls) == 1


def test_it_is_exported() -> None:
    assert asyrp.AsyrpPipeline is AsyrpPipeline
    assert asyrp.DirectionModel is DirectionModel

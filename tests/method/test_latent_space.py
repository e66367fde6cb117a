"""Latent diffusion on tiny real folders: autoencoders, the cut of Stable Diffusion, training."""

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, LDMPipeline, VQModel
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.finders.prepare import Pictures, curves_of, start_training
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.editing_interval import EditInterval, measure_curves
from asyrp.method.latent_space import LatentSpace, Pixels, scale_of
from asyrp.method.protocols import TextImageEncoder, Thresholds, templates_of
from asyrp.method.schedule import paper_grid
from asyrp.method.text_direction import new_text_direction
from asyrp.networks import load_model
from asyrp.networks.latent_pipeline import Prompt, download, is_latent, load_latent
from asyrp.scorers.clip import load_clip
from asyrp.scorers.decoded import Decoded
from asyrp.settings import TrainSettings
from conftest import noise, tiny_model
from doubles import TinyDistance
from tiny_folders import (
    latent_scheduler,
    leading_walk,
    save_clip,
    save_ldm,
    save_stable_diffusion,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
)


@pytest.fixture(scope="module")
def ldm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ldm(tmp_path_factory.mktemp("ldm"))


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stable_diffusion(tmp_path_factory.mktemp("stable"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> TextImageEncoder:
    return load_clip(save_clip(tmp_path_factory.mktemp("clip")))


# --- the autoencoder ---


@torch.no_grad()
def test_vq_codes_are_taken_before_quantisation_and_quantised_on_the_way_back() -> None:
    coder = tiny_vq(scaling_factor=0.5)
    space, pictures = LatentSpace(coder), noise(3, 3, 16, 16)
    code = coder.encode(pictures).latents
    torch.testing.assert_close(space.encode(pictures), code * 0.5)
    torch.testing.assert_close(space.decode(code * 0.5), coder.decode(code).sample)
    quantised = coder.quantize(code)[0]
    torch.testing.assert_close(
        space.decode(code * 0.5), coder.decode(quantised, force_not_quantize=True).sample
    )
    assert not torch.allclose(code, quantised)


@torch.no_grad()
def test_kl_codes_are_the_mode_scaled_and_shifted() -> None:
    coder = tiny_kl(scaling_factor=0.3, shift_factor=0.1)
    space, pictures = LatentSpace(coder), noise(3, 3, 16, 16)
    mean = coder.encode(pictures).latent_dist.mean
    x = space.encode(pictures)
    torch.testing.assert_close(x, (mean - 0.1) * 0.3)
    torch.testing.assert_close(space.decode(x), coder.decode(mean).sample)
    assert torch.equal(space.encode(pictures), x)


@pytest.mark.parametrize("coder", [tiny_vq(), tiny_kl()], ids=["vq", "kl"])
def test_shapes_freezing_and_gradients(coder: VQModel | AutoencoderKL) -> None:
    space = LatentSpace(coder)
    channels = coder.config.latent_channels
    assert space.picture_shape((channels, 8, 12)) == (3, 16, 24)
    x = noise(2, channels, 8, 12).requires_grad_()
    pictures = space.decode(x)
    assert pictures.shape == (2, 3, 16, 24)
    pictures.square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax((1, 2, 3)) > 0).all()
    assert not any(p.requires_grad for p in space.parameters())


def test_a_silent_config_means_one_for_vq_and_stable_diffusions_for_kl(tmp_path: Path) -> None:
    """diffusers fills in 0.18215 for both, which spoils the VQ models of latent diffusion."""
    tiny_vq().save_pretrained(tmp_path)
    stated = json.loads((tmp_path / "config.json").read_text())
    assert stated.pop("scaling_factor") == 0.18215
    (tmp_path / "config.json").write_text(json.dumps(stated))
    silent = VQModel.from_pretrained(tmp_path)
    assert silent.config.scaling_factor == 0.18215
    assert scale_of(silent) == 1.0
    assert scale_of(tiny_vq(scaling_factor=0.18215)) == 0.18215
    assert scale_of(tiny_kl()) == 0.18215


def test_other_autoencoders_are_refused() -> None:
    with pytest.raises(AsyrpError, match=r"VQModel or an AutoencoderKL .* got a AutoencoderTiny"):
        LatentSpace(AutoencoderTiny())


def test_pixels_are_their_own_space() -> None:
    model, pictures = tiny_model(), noise(1, 3, 16, 16)
    assert isinstance(model.space, Pixels)
    assert model.picture_shape == model.image_shape == (3, 16, 16)
    assert model.space.decode(model.space.encode(pictures)) is pictures


# --- unconditional latent networks ---


@torch.no_grad()
def test_a_folder_of_latent_diffusion_is_the_pipeline_of_diffusers(ldm: Path) -> None:
    model = load_latent(ldm)
    assert is_latent(ldm)
    assert model.image_shape == (3, 8, 8)
    assert model.picture_shape == (3, 16, 16)
    x, t = noise(2, 3, 8, 8), torch.tensor([3, 900])
    torch.testing.assert_close(model(x, t), tiny_latent_unet()(x, t).sample, rtol=0, atol=2e-6)
    pipeline = LDMPipeline(tiny_vq(scaling_factor=1.0), tiny_latent_unet(), latent_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    theirs = pipeline(2, generator, num_inference_steps=10, output_type="np").images
    start = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = leading_walk(model, start)
    wanted = torch.from_numpy(theirs).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours / 2 + 0.5, wanted, atol=1e-4, rtol=0)


@torch.no_grad()
def test_pictures_go_through_latents_and_back(ldm: Path) -> None:
    model, pictures = load_latent(ldm), noise(2, 3, 16, 16).clamp(-1, 1)
    for weight in model.unet.conv_out.parameters():
        weight.mul_(0.05)  # a random network as it is does not invert
    codes = model.space.encode(pictures)
    done = invert(model, codes, steps=20, refinements=2)
    back = model.space.decode(done.reconstructions)
    assert back.shape == pictures.shape
    near, far = (codes - done.reconstructions).square().mean(), codes.square().mean()
    assert near < 0.01 * far
    with pytest.raises(AsyrpError, match=r"needs images of shape \(n, 3, 8, 8\)"):
        invert(model, pictures, steps=4)


@torch.no_grad()
def test_bfloat16_keeps_the_fingerprint_and_comes_close(ldm: Path) -> None:
    exact, half = load_latent(ldm), load_latent(ldm, dtype="bfloat16")
    assert half.fingerprint() == exact.fingerprint()
    x = noise(1, 3, 8, 8)
    assert torch.allclose(half(x, 500), exact(x, 500), atol=0.1)
    assert half.space.decode(x).dtype == torch.float32


def test_clip_sees_the_decoded_prediction(ldm: Path, clip: TextImageEncoder) -> None:
    model = load_latent(ldm)
    encoder: TextImageEncoder = Decoded(clip, model.space)
    x0 = noise(2, 3, 8, 8)
    found = encoder.image_features(x0)
    torch.testing.assert_close(found, clip.image_features(model.space.decode(x0)))
    assert (encoder.name, encoder.text_common) == (clip.name, clip.text_common)
    assert templates_of(encoder) == templates_of(clip)
    assert len(templates_of(encoder)) == 79
    assert torch.equal(encoder.text_features(["a"]), clip.text_features(["a"]))


def test_training_in_latent_space_lowers_the_loss(ldm: Path, clip: TextImageEncoder) -> None:
    model = load_latent(ldm)
    guide = new_text_direction(Decoded(clip, model.space), "a", "smile")
    latents = random_latents(model, 4)
    settings = TrainSettings(
        kind="global", steps=8, epochs=12, batch_size=4, lambda_recon=0, learning_rate=0.5,
        decay=False, validate_every=0,
    )  # fmt: skip
    pictures = Pictures(edit(model, latents, steps=8), latents)
    training = start_training(
        model, guide, pictures, pictures[:0], EditInterval(999, 600, 0), settings
    )
    losses = [step.directional for step in training.steps if step.t == 713]
    assert losses[-1] < losses[0] - 0.05


class MeanSquare:
    """A distance of pictures that fails on latents."""

    name = "mse"
    thresholds = Thresholds()

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.shape[1:] == b.shape[1:] == (3, 16, 16)
        return (a - b).square().mean((1, 2, 3))


@torch.no_grad()
def test_lpips_curves_compare_decoded_pictures(ldm: Path) -> None:
    model = load_latent(ldm)
    latents = random_latents(model, 2)
    clean = edit(model, latents, steps=5)
    distance = Decoded(MeanSquare(), model.space)
    curves = curves_of(model, clean, latents, distance, steps=5)
    wanted = MeanSquare()(model.space.decode(clean), model.space.decode(latents))
    assert torch.allclose(torch.from_numpy(curves.xt[-1]), wanted.double())
    assert (distance.name, distance.thresholds) == ("mse", Thresholds())


# --- folders and the Hub ---


def test_load_model_takes_both_kinds_and_passes_the_prompt_on(ldm: Path, stable: Path) -> None:
    assert load_model(ldm).fingerprint() == load_latent(ldm).fingerprint()
    prompt = Prompt("a face", 2.0)
    wanted = load_latent(stable, prompt=prompt).fingerprint()
    assert load_model(stable, prompt=prompt).fingerprint() == wanted
    with pytest.raises(AsyrpError, match="takes no prompt"):
        load_model("avatars-64", prompt=prompt)


def test_folders_that_do_not_fit_are_refused_in_one_line(
    ldm: Path, stable: Path, tmp_path: Path
) -> None:
    def changed(source: Path, name: str) -> Path:
        return shutil.copytree(source, tmp_path / name)

    wide = changed(ldm, "wide")
    tiny_latent_unet(4).save_pretrained(wide / "unet")
    cut = changed(ldm, "cut")
    weights = cut / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    foreign = changed(ldm, "foreign")
    (foreign / "unet" / "config.json").write_text('{"_class_name": "SD3Transformer2DModel"}')
    unscheduled = changed(ldm, "unscheduled")
    shutil.rmtree(unscheduled / "scheduler")
    mute = changed(stable, "mute")
    shutil.rmtree(mute / "text_encoder")
    for folder, prompt, message in (
        (wide, Prompt(), "takes 4 channels and its autoencoder makes 3"),
        (cut, Prompt(), "is no whole safetensors file"),
        (foreign, Prompt(), "it has SD3Transformer2DModel"),
        (unscheduled, Prompt(), "needed scheduler/scheduler_config.json"),
        (mute, Prompt(), "needed a CLIP tokenizer and text encoder"),
        (ldm, Prompt("a face"), "takes no prompt"),
        (stable, Prompt("a very long prompt " * 9), "at most 40 tokens of a prompt"),
        (stable, Prompt("a face", 7.5, "so ugly " * 9), "at most 40 tokens .*'so ugly so"),
    ):
        with pytest.raises(AsyrpError, match=message) as got:
            load_latent(folder, prompt=prompt)
        assert "\n" not in str(got.value)


@pytest.mark.parametrize(
    "prompt", ["a face", Prompt(5), Prompt("a", float("nan")), Prompt("a", "7")]
)
def test_a_prompt_that_is_none_is_refused(prompt: Any, tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match=r"a prompt is Prompt\(text, guidance, negative\)"):
        load_latent(save_stable_diffusion(tmp_path), prompt=prompt)


def test_weights_that_are_pickles_are_read_as_tensors(ldm: Path, tmp_path: Path) -> None:
    """CompVis/ldm-celebahq-256 has no safetensors on its main branch."""
    folder = shutil.copytree(ldm, tmp_path / "pickles")
    for name, part in (("unet", tiny_latent_unet()), ("vqvae", tiny_vq(scaling_factor=1.0))):
        shutil.rmtree(folder / name)
        part.save_pretrained(folder / name, safe_serialization=False)
    assert load_latent(folder).fingerprint() == load_latent(ldm).fingerprint()


def test_the_hub_is_asked_for_safetensors_first(ldm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def snapshot(spec: str, allow_patterns: list[str], **how: object) -> str:
        asked.append(allow_patterns)
        return str(ldm)

    def single(spec: str, name: str, **how: object) -> str:
        if spec == "nobody/pixels":
            raise EntryNotFoundError("no such file")
        return str(ldm / name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", single)
    assert download("CompVis/ldm-celebahq-256") == ldm
    assert len(asked) == 1
    assert "vqvae/diffusion_pytorch_model.safetensors" in asked[0]
    assert not any(pattern.endswith(".bin") for pattern in asked[0])
    assert download("nobody/pixels") is None


class Counting:
    """A space that counts what it decodes."""

    def __init__(self, space: LatentSpace):
        self.space, self.decoded = space, list[Tensor]()

    def decode(self, x: Tensor) -> Tensor:
        self.decoded.append(x)
        return self.space.decode(x)


def test_curves_decode_the_clean_picture_once(tmp_path: Path) -> None:
    model = load_latent(save_ldm(tmp_path))
    space, x = Counting(model.space), noise(2, *model.image_shape)
    steps, distance = list(reverse_process(model, x, paper_grid(4))), TinyDistance()
    curves = measure_curves(x, x, steps, Decoded(distance, space))
    assert sum(one is x for one in space.decoded) == 2  # clean, and x_T itself
    assert len(space.decoded) == 1 + 2 * 4
    looked = distance(model.space.decode(x), model.space.decode(steps[0].x0))
    assert curves.x0[-1] == pytest.approx(looked.numpy(), abs=1e-6)


def test_pictures_are_decoded_one_by_one_and_twice_for_a_gradient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_latent(save_stable_diffusion(tmp_path))
    decode, rows = model.space.coder.decode, list[int]()

    def spied(code: Tensor) -> object:
        rows.append(len(code))
        return decode(code)

    x = noise(3, *model.image_shape).requires_grad_()
    plain = decode(x / model.space.scale).sample
    wanted = torch.autograd.grad(plain.square().sum(), x)[0]
    monkeypatch.setattr(model.space.coder, "decode", spied)
    found = model.space.decode(x)
    assert rows == [1] * 3
    torch.testing.assert_close(found, plain)
    gradient = torch.autograd.grad(found.square().sum(), x)[0]
    torch.testing.assert_close(gradient, wanted)
    assert rows == [1] * 6
    with torch.no_grad():
        model.space.decode(x)
    assert rows == [1] * 9


def test_very_large_pictures_are_decoded_in_tiles(tmp_path: Path) -> None:
    coder = load_latent(save_stable_diffusion(tmp_path)).space.coder
    assert coder.use_tiling
    assert (coder.tile_sample_min_size, coder.tile_latent_min_size) == (1024, 512)

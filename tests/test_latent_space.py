"""Latent diffusion on tiny real folders: autoencoders, the cut of Stable Diffusion, training."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, LDMPipeline, StableDiffusionPipeline, VQModel
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from asyrp.api import edit, invert, random_latents
from asyrp.checkpoints.latent import Prompt, download, is_latent, load_latent
from asyrp.clip import load_clip
from asyrp.ddim import generate
from asyrp.decoded import DecodedDistance, DecodedEncoder
from asyrp.directions import GlobalDirection
from asyrp.errors import AsyrpError
from asyrp.guide import new_guide
from asyrp.jobs import Phases, Pictures, curves_of, start_training
from asyrp.latent_space import LatentSpace, Pixels, scale_of
from asyrp.process import Attribute
from asyrp.schedule import NoiseSchedule, from_config, leading_grid
from asyrp.scorers import TextImageEncoder, Thresholds, templates_of
from asyrp.settings import TrainSettings
from asyrp.unet import HSpaceUNet
from asyrp.unet_condition import FixedPrompt
from conftest import noise, tiny_model
from tiny_folders import (
    latent_scheduler,
    save_clip,
    save_ldm,
    save_stable_diffusion,
    tiny_condition_unet,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
)

SMILE = Prompt("a photo of a face", 3.5)


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
    assert torch.equal(model(x, t), tiny_latent_unet()(x, t).sample)
    pipeline = LDMPipeline(tiny_vq(scaling_factor=1.0), tiny_latent_unet(), latent_scheduler())
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    theirs = pipeline(2, generator, num_inference_steps=10, output_type="np").images
    start = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    ours = leading_walk(model, start)
    wanted = torch.from_numpy(theirs).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours / 2 + 0.5, wanted, atol=1e-4, rtol=0)


def leading_walk(model: HSpaceUNet, x: Tensor, offset: int = 0) -> Tensor:
    """Pictures by ten steps on diffusers' default grid, clamped to [-1, 1]."""
    *_, done = generate(model, model.schedule, x, leading_grid(10, offset=offset))
    return model.space.decode(done.x).clamp(-1, 1)


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
    encoder: TextImageEncoder = DecodedEncoder(clip, model.space)
    x0 = noise(2, 3, 8, 8)
    found = encoder.image_features(x0)
    torch.testing.assert_close(found, clip.image_features(model.space.decode(x0)))
    assert (encoder.name, encoder.text_common) == (clip.name, clip.text_common)
    assert templates_of(encoder) == templates_of(clip)
    assert len(templates_of(encoder)) == 79
    assert torch.equal(encoder.text_features(["a"]), clip.text_features(["a"]))


def test_training_in_latent_space_lowers_the_loss(ldm: Path, clip: TextImageEncoder) -> None:
    model = load_latent(ldm)
    guide = new_guide(DecodedEncoder(clip, model.space), "a", "smile")
    latents = random_latents(model, 4)
    settings = TrainSettings(
        kind="global", steps=8, epochs=12, batch_size=4, lambda_recon=0, learning_rate=0.5,
        decay=False, validate_every=0,
    )  # fmt: skip
    pictures = Pictures(edit(model, latents, steps=8), latents)
    training = start_training(model, guide, pictures, pictures[:0], Phases(999, 600, 0), settings)
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
    distance = DecodedDistance(MeanSquare(), model.space)
    curves = curves_of(model, clean, latents, distance, steps=5)
    wanted = MeanSquare()(model.space.decode(clean), model.space.decode(latents))
    assert torch.allclose(torch.from_numpy(curves.xt[-1]), wanted.double())
    assert (distance.name, distance.thresholds) == ("mse", Thresholds())


# --- Stable Diffusion ---


def hidden(*rows: int) -> Tensor:
    return noise(*rows, 16, seed=7)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_linear_projection": True, "attention_head_dim": (2, 4)},
        {"mid_block_type": "UNetMidBlock2D"},
        {"sample_size": (8, 12), "freq_shift": 1, "flip_sin_to_cos": False},
        {"only_cross_attention": True, "center_input_sample": True},
        {"resnet_time_scale_shift": "scale_shift"},
    ],
    ids=["1.x", "2.x", "plain mid block", "wide", "only cross-attention", "scale-shift"],
)
@torch.no_grad()
def test_decoding_the_encoded_is_the_network_bit_for_bit(changes: dict[str, object]) -> None:
    network, context = tiny_condition_unet(**changes), hidden(1, 5)
    model = HSpaceUNet(FixedPrompt(network, context), schedule())
    x, t = noise(3, *model.image_shape), torch.tensor([0, 431, 999])
    wanted = network(x, t, encoder_hidden_states=context.expand(3, -1, -1)).sample
    assert torch.equal(model.decode_raw(model.encode(x, t)), wanted)
    assert torch.equal(model(x, t), wanted)
    encoded = model.encode(x, t)
    assert encoded.h.shape == (3, *model.h_shape)
    assert encoded.emb.shape == (3, model.emb_channels)


def schedule() -> NoiseSchedule:
    return from_config(latent_scheduler().config)


@torch.no_grad()
def test_classifier_free_guidance_is_that_of_stable_diffusion() -> None:
    network, context = tiny_condition_unet(), hidden(2, 5)
    model = HSpaceUNet(FixedPrompt(network, context, 7.5), schedule())
    x, t = noise(3, 4, 8, 8), torch.tensor([0, 431, 999])
    rows = context.repeat_interleave(3, 0)
    raw = network(torch.cat([x, x]), torch.cat([t, t]), encoder_hidden_states=rows).sample
    without, prompted = raw.chunk(2)
    assert torch.equal(model(x, t), without + 7.5 * (prompted - without))
    encoded = model.encode(x, 431)
    assert encoded.h.shape[0] == encoded.emb.shape[0] == 6
    assert encoded.x.shape[0] == 3
    change = model.decode(encoded, encoded.h + 0.1) - model.decode(encoded)
    assert change.abs().max() > 1e-3


@torch.no_grad()
def test_a_walk_with_guidance_and_a_direction(stable: Path) -> None:
    model = load_latent(stable, prompt=SMILE)
    latents = random_latents(model, 2)
    act = Attribute(GlobalDirection(noise(*model.h_shape) * 0.2), 500, trained_steps=6)
    plain, edited = (edit(model, latents, a, steps=6) for a in ((), (act,)))
    assert edited.shape == (2, 4, 8, 8)
    assert (edited - plain).abs().max() > 1e-3
    alone = edit(model, latents[1:], (act,), steps=6)
    torch.testing.assert_close(edited[1:], alone, atol=1e-4, rtol=1e-3)
    undone = Attribute(act.direction, 500, strength=0.0, trained_steps=6)
    assert torch.equal(edit(model, latents, (undone,), steps=6), plain)


@pytest.mark.parametrize("guidance", [1.0, 3.5])
@torch.no_grad()
def test_a_folder_of_stable_diffusion_is_the_pipeline_of_diffusers(
    stable: Path, guidance: float
) -> None:
    model = load_latent(stable, prompt=Prompt("a face", guidance, "blurry"))
    assert model.picture_shape == (3, 16, 16)
    pipeline = StableDiffusionPipeline(
        vae=tiny_kl(),
        text_encoder=CLIPTextModel.from_pretrained(stable / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(stable / "tokenizer"),
        unet=tiny_condition_unet(),
        scheduler=latent_scheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    start = noise(1, 4, 8, 8)
    theirs = pipeline(
        "a face",
        negative_prompt="blurry",
        latents=start,
        guidance_scale=guidance,
        num_inference_steps=10,
        output_type="pt",
    ).images
    ours = leading_walk(model, start, offset=1)
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=2e-4, rtol=0)


def test_the_prompt_is_part_of_the_fingerprint_and_the_autoencoder_is_not(
    stable: Path, tmp_path: Path
) -> None:
    prompts = [Prompt(), Prompt("a face"), Prompt("a face", 2.0), Prompt("a face", 3.0)]
    prints = [load_latent(stable, prompt=p).fingerprint() for p in prompts]
    assert len(set(prints)) == 4
    other = shutil.copytree(stable, tmp_path / "other")
    tiny_kl(norm_num_groups=2).save_pretrained(other / "vae")
    assert load_latent(other, prompt=prompts[1]).fingerprint() == prints[1]


def test_networks_that_need_more_are_refused() -> None:
    for changes, message in (
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"addition_embed_type": "text", "cross_attention_dim": 16}, "addition_embed_type"),
        ({"sample_size": 9}, "sides that 2 divides"),
    ):
        with pytest.raises(AsyrpError, match=message):
            FixedPrompt(tiny_condition_unet(**changes), hidden(1, 5))
    with pytest.raises(AsyrpError, match="needs 2 prompt"):
        FixedPrompt(tiny_condition_unet(), hidden(1, 5), 2.0)
    with pytest.raises(AsyrpError, match="mid block"):
        HSpaceUNet(FixedPrompt(tiny_condition_unet(mid_block_type=None), hidden(1, 5)), schedule())


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
        (cut, Prompt(), "does not load as a UNet2DModel"),
        (foreign, Prompt(), "it has SD3Transformer2DModel"),
        (unscheduled, Prompt(), "needed scheduler/scheduler_config.json"),
        (mute, Prompt(), "needed a CLIP tokenizer and text encoder"),
        (ldm, Prompt("a face"), "takes no prompt"),
        (stable, Prompt("a very long prompt " * 9), "at most 40 tokens of a prompt"),
    ):
        with pytest.raises(AsyrpError, match=message) as got:
            load_latent(folder, prompt=prompt)
        assert "\n" not in str(got.value)


def test_weights_that_are_pickles_are_read_as_tensors(ldm: Path, tmp_path: Path) -> None:
    """CompVis/ldm-celebahq-256 has no safetensors on its main branch."""
    folder = shutil.copytree(ldm, tmp_path / "pickles")
    for name, part in (("unet", tiny_latent_unet()), ("vqvae", tiny_vq(scaling_factor=1.0))):
        shutil.rmtree(folder / name)
        part.save_pretrained(folder / name, safe_serialization=False)
    assert load_latent(folder).fingerprint() == load_latent(ldm).fingerprint()


def test_the_hub_is_asked_for_safetensors_first(ldm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def snapshot(spec: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append(allow_patterns)
        return str(ldm)

    def single(spec: str, name: str, local_files_only: bool) -> str:
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

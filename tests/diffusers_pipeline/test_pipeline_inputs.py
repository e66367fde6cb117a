"""What a pipeline is given: pictures as the commands read them, arguments refused in a line."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from asyrp import AsyrpError, AsyrpPipeline
from asyrp.networks.pipeline_inputs import read_pictures
from asyrp.storage.images import read_image
from conftest import noise
from pipelines import STEPS, pictures, pipeline
from tiny_folders import (
    latent_scheduler,
    save_tokenizer,
    text_config,
    tiny_condition_unet,
    tiny_kl,
    tiny_latent_unet,
    tiny_vq,
)

SIZE = (16, 16)


def wide() -> Image.Image:
    """32 x 16, left half red, right half green, with a blue band above."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:], pixels[:4] = (220, 30, 30), (30, 200, 30), (30, 30, 220)
    return Image.fromarray(pixels)


def forms(picture: Image.Image) -> dict[str, Any]:
    """One picture in every form that a pipeline takes."""
    array = np.asarray(picture)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    return {
        "PIL": picture,
        "list": [picture],
        "bytes": array,
        "batch of bytes": array[None],
        "numbers": array.astype(np.float32) / 255,
        "double": array[None].astype(np.float64) / 255,
        "tensor of bytes": tensor,
        "tensor": tensor[None] / 255,
        "list of tensors": [tensor / 255],
    }


@pytest.mark.parametrize("form", forms(wide()))
def test_every_form_is_read_as_a_file_is(form: str, tmp_path: Path) -> None:
    """Cropped at the sides and not squashed, resampled alike up to the rounding of bytes."""
    wide().save(tmp_path / "a.png")
    wanted = read_image(tmp_path / "a.png", (8, 8))
    (found,) = read_pictures(forms(wide())[form], (8, 8))
    torch.testing.assert_close(found, wanted, atol=1.1 / 127.5, rtol=0)
    assert torch.equal(read_pictures(forms(wide())[form], (16, 32))[0], read_image(
        tmp_path / "a.png", (16, 32)))  # fmt: skip


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pil_pictures_are_turned_and_left_as_they_were(
    suffix: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / f"a.{suffix}"
    wide().save(path, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    opened = Image.open(path)
    (found,) = read_pictures(opened, SIZE)
    assert torch.equal(found, read_image(path, SIZE))
    plain = read_pictures(wide(), SIZE)[0]
    assert not torch.equal(found, plain)


def test_what_is_transparent_is_white_in_every_form() -> None:
    rgba = np.full((16, 16, 4), 255, np.uint8)
    rgba[..., :3], rgba[:8, :, 3] = 10, 0
    for form in (Image.fromarray(rgba), rgba, rgba / 255.0):
        (found,) = read_pictures(form, SIZE)
        assert (found[:, :8] == 1).all()
        torch.testing.assert_close(found[:, 8:], torch.full((3, 8, 16), 10 / 127.5 - 1))


def test_grey_becomes_rgb() -> None:
    grey = np.full((16, 16), 51, np.uint8)
    for form in (grey, grey[..., None], torch.from_numpy(grey)[None], Image.fromarray(grey)):
        assert torch.allclose(read_pictures(form, SIZE), torch.tensor(51 / 127.5 - 1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty list"),
        (np.zeros((0, 16, 16, 3), np.uint8), "empty batch"),
        (noise(1, 3, 16, 16), r"numbers in \[0, 1\]; got float32 from -"),
        (torch.full((3, 16, 16), 255.0), r"got float32 from 255 to 255"),
        (torch.full((3, 16, 16), float("nan")), "got float32 from nan"),
        (torch.zeros(3, 16, 16, dtype=torch.int64), "got int64"),
        (np.zeros((16, 16, 3), np.uint16), "got uint16"),
        (torch.zeros(3, 16, 16, dtype=torch.complex64), "got complex64"),
        (torch.zeros(2, 16, 16), r"1, 3 or 4 channels; got \(2, 16, 16\)"),
        (torch.zeros(16, 16), "1, 3 or 4 channels"),
        ("a.png", "needed PIL pictures"),
        ([pictures(1)[0], 7], "needed PIL pictures"),
        (np.array([None, 1], dtype=object), "needed PIL pictures"),
    ],
)
def test_pictures_that_are_none_are_refused(given: Any, message: str) -> None:
    with pytest.raises(AsyrpError, match=message) as got:
        read_pictures(given, SIZE)
    assert "\n" not in str(got.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of 1 or more"),
        ({"batch_size": 1.5}, "batch_size must be an integer"),
        ({"num_inference_steps": "8"}, "num_inference_steps must be an integer; got '8'"),
        ({"refinements": -1}, "refinements must be an integer of 0"),
        ({"strength": float("nan")}, "strength must be a number; got nan"),
        ({"t_edit": [400]}, "t_edit must be an integer"),
        ({"guidance_scale": None, "prompt": ["a", "b"]}, "prompt must be one text"),
        ({"generator": 7}, "generator must be a torch.Generator"),
        ({"generator": [None]}, "generator must be a torch.Generator"),
        ({"class_label": [1, 2]}, "class_label must be an integer .* the same for all images"),
        ({"callback_on_step_end": 7}, "callback_on_step_end must be a function"),
        ({"output_type": "jpeg"}, "output_type must be one of pil, np, pt, latent"),
        ({"latents": np.zeros((1, 3, 16, 16))}, "latents must be a tensor"),
        ({"latents": torch.zeros(1, 3, 16, 16, dtype=torch.int64)}, "latents must be a tensor"),
        ({"latents": torch.zeros(0, 3, 16, 16)}, r"needs x of shape .*; got \(0, 3, 16, 16\)"),
        ({"callback_on_step_end": lambda *_: 5}, "a callback answers None, or .*; got 5"),
        ({"callback_on_step_end": lambda *_: {"latents": torch.zeros(1)}}, "a callback answers"),
    ],
)
def test_arguments_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(AsyrpError, match=message) as got:
        pipeline()(**{"num_inference_steps": STEPS, **given})
    assert "\n" not in str(got.value)


def test_no_prompt_is_an_empty_one(tmp_path: Path) -> None:
    """As in diffusers, whose pipelines take None."""
    parts = (tiny_condition_unet(), latent_scheduler(), None, tiny_kl())
    save_tokenizer(tmp_path)
    texts: dict[str, Any] = {"tokenizer": CLIPTokenizer.from_pretrained(tmp_path)}
    texts["text_encoder"] = CLIPTextModel(text_config())
    pipe = AsyrpPipeline(*parts, **texts)
    how = {"num_inference_steps": STEPS, "guidance_scale": 2.0, "output_type": "np"}
    made = [
        pipe(**how, **words, generator=torch.Generator().manual_seed(0)).images
        for words in ({}, {"prompt": None, "negative_prompt": None})
    ]
    assert np.array_equal(*made)
    with pytest.raises(AsyrpError, match="works in latents: it needs its vae"):
        AsyrpPipeline(*parts[:2], **texts)(**how)
    with pytest.raises(AsyrpError, match="needs its unet and its scheduler"):
        AsyrpPipeline(parts[0], None)(**how)


def test_a_callback_may_only_look() -> None:
    seen = list[int]()
    looked = pipeline()(
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(0),
        callback_on_step_end=lambda pipe, step, t, tensors: seen.append(step),
    )
    plain = pipeline()(num_inference_steps=STEPS, generator=torch.Generator().manual_seed(0))
    assert len(seen) > 1
    assert np.array_equal(looked.images[0], plain.images[0])


def test_pictures_that_come_out_as_no_numbers_are_refused() -> None:
    pipe = pipeline()
    with torch.no_grad():
        pipe.unet.conv_out.weight.fill_(float("inf"))
    with pytest.raises(AsyrpError, match="no finite numbers"):
        pipe(batch_size=1, num_inference_steps=STEPS)


def test_a_scheduler_of_another_process_is_refused() -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    with pytest.raises(AsyrpError, match="FlowMatchEulerDiscreteScheduler"):
        pipeline(scheduler=FlowMatchEulerDiscreteScheduler())(num_inference_steps=STEPS)


@pytest.mark.parametrize("part", ["unet", "vqvae", "direction"])
def test_parts_without_their_weights_are_refused(part: str, tmp_path: Path) -> None:
    from asyrp import DirectionModel
    from pipelines import saved

    parts: dict[str, Any] = {"unet": tiny_latent_unet(), "vqvae": tiny_vq()}
    pipe = pipeline(DirectionModel.of(saved()), scheduler=latent_scheduler(), **parts)
    pipe.save_pretrained(tmp_path)
    AsyrpPipeline.from_pretrained(tmp_path)
    file = next((tmp_path / part).glob("*.safetensors"))
    first, *rest = load_file(file).items()
    save_file({f"module.{first[0]}": first[1], **dict(rest)}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 tensors are missing|keys are missing"):
        AsyrpPipeline.from_pretrained(tmp_path)
    shutil.rmtree(tmp_path / part)


class Away:
    """Model offload with a recorder for an accelerator, where one part is at a time."""

    def __init__(self, there: set[str], name: str):
        self.there, self.name = there, name

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.there.clear()
        self.there.add(self.name)
        return args, kwargs


@torch.no_grad()
def test_model_offload_has_the_network_back_after_the_autoencoder() -> None:
    parts: dict[str, Any] = {"unet": tiny_latent_unet(4), "vae": tiny_kl()}
    pipe = pipeline(scheduler=latent_scheduler(), **parts)
    there: set[str] = set()
    for name in parts:
        parts[name]._hf_hook = Away(there, name)
    seen: list[bool] = []
    parts["unet"].conv_in.register_forward_pre_hook(lambda *_: seen.append("unet" in there))

    def preview(_: Any, step: int, t: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe.vae.decode(tensors["latents"])
        return tensors

    pipe(pictures(1), num_inference_steps=STEPS, callback_on_step_end=preview)
    assert len(seen) > 2 * STEPS
    assert all(seen)

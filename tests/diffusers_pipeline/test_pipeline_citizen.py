"""AsyrpPipeline as a citizen of diffusers: precisions, the Hub, enable_*, networks of our own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import hub_utils
from torch import Tensor

from asyrp import AsyrpError, AsyrpPipeline, DirectionModel, load_model
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import ImplicitDirection
from asyrp.method.editing import edit
from asyrp.networks import OriginalUNet2DModel
from asyrp.networks.convert.convert import write_folder
from conftest import noise
from converted import converted
from originals import Adm, adm_weights
from pipelines import (
    STEPS,
    assert_same,
    generators,
    pictures,
    pipeline,
    saved,
    scheduler,
    start,
)
from tiny_folders import latent_scheduler, tiny_kl, tiny_latent_unet

OPTIONS: dict[str, Any] = {"num_inference_steps": STEPS, "output_type": "latent"}


@pytest.fixture
def pipe() -> AsyrpPipeline:
    return pipeline(DirectionModel.of(saved()))


def quiet(pipe: AsyrpPipeline) -> AsyrpPipeline:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def test_to_a_lower_precision_comes_close(pipe: AsyrpPipeline) -> None:
    x = start(2)
    wanted = pipe(latents=x, t_boost=0, **OPTIONS).images
    half = pipe.to("cpu", torch.bfloat16)
    assert half.unet.dtype == half.direction.dtype == torch.bfloat16
    found = half(latents=x, t_boost=0, **OPTIONS).images
    assert found.dtype == torch.float32  # x itself is not rounded
    assert 0 < (found - wanted).abs().max() < 0.1 * wanted.abs().max()
    assert half(pictures(1), num_inference_steps=STEPS).images[0].size == (16, 16)


def test_from_pretrained_takes_a_precision(pipe: AsyrpPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    known = re.search(r"^\s*dtype \(", DiffusionPipeline.from_pretrained.__doc__, re.MULTILINE)
    how = {"dtype" if known else "torch_dtype": torch.bfloat16}
    again = quiet(AsyrpPipeline.from_pretrained(tmp_path, **how))
    assert again.unet.dtype == again.direction.dtype == torch.bfloat16
    assert again(batch_size=1, generator=generators(1), **OPTIONS).images.isfinite().all()


def test_push_to_hub_uploads_what_loads_again(
    pipe: AsyrpPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    class Made:
        repo_id = "me/asyrp"

    class Card:
        def save(self, path: str) -> None:
            Path(path).write_text("card")

    def upload(*, repo_id: str, folder_path: str, **_: Any) -> str:
        Path(folder_path).rename(tmp_path / "hub")
        Path(folder_path).mkdir()
        seen["repo"] = repo_id
        return "done"

    monkeypatch.setattr(hub_utils, "create_repo", lambda *_, **__: Made)
    monkeypatch.setattr(hub_utils, "load_or_create_model_card", lambda *_, **__: Card())
    monkeypatch.setattr(hub_utils, "populate_model_card", lambda card: card)
    monkeypatch.setattr(hub_utils, "upload_folder", upload)
    assert pipe.push_to_hub("me/asyrp") == "done"
    assert seen == {"repo": "me/asyrp"}
    again = quiet(AsyrpPipeline.from_pretrained(tmp_path / "hub"))
    assert again.direction.card == pipe.direction.card
    x = start(1)
    first, second = (
        one(latents=x, generator=generators(4), **OPTIONS).images for one in (pipe, again)
    )
    assert_same(second, first)


@torch.no_grad()
def test_slicing_tiling_and_attention_slicing_change_nothing() -> None:
    parts: dict[str, Any] = {"unet": tiny_latent_unet(4), "vae": tiny_kl()}
    pipe = pipeline(None, scheduler=latent_scheduler(), **parts)
    options = {"num_inference_steps": STEPS, "output_type": "pt", "latents": noise(2, 4, 8, 8)}
    plain = pipe(**options).images
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    pipe.enable_attention_slicing()
    torch.testing.assert_close(pipe(**options).images, plain, atol=1e-4, rtol=0)


def direction_of(unet: Any, fingerprint: str) -> SavedDirection:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        channels = unet.config.block_out_channels[-1]
        emb = unet.time_embedding.linear_2.out_features
        direction = ImplicitDirection(channels, emb, "adm", zero_init=False)
    return SavedDirection(direction, DirectionCard("a", "b", 300, 0, STEPS, fingerprint))


def tamed(net: Adm) -> dict[str, Tensor]:
    weights = adm_weights(net)
    for kind in ("weight", "bias"):
        weights[f"out.2.{kind}"] *= 0.005
    return weights


@torch.no_grad()
def test_networks_that_plain_diffusers_lacks_go_through_a_pipeline(tmp_path: Path) -> None:
    fixed = Adm(mult=(1, 2, 3), attends=(False, True, True), classes=5)
    done = converted(tamed(fixed), "adm", num_heads=4, class_cond=True)
    write_folder(tmp_path / "net", done, {})
    model = load_model(tmp_path / "net", class_label=2)
    own = direction_of(model.unet, model.fingerprint())
    AsyrpPipeline.of(model, own).save_pretrained(tmp_path / "pipe")
    pipe = quiet(AsyrpPipeline.from_pretrained(tmp_path / "pipe"))
    assert type(pipe.unet) is OriginalUNet2DModel
    x = noise(1, 3, 32, 32) * 0.01
    found = pipe(latents=x, class_label=2, **OPTIONS).images
    assert_same(found, edit(model, x, [own.attribute()], STEPS))
    assert (pipe(latents=x, class_label=3, **OPTIONS).images - found).abs().max() > 1e-5
    with pytest.raises(AsyrpError, match="needs class_labels"):
        pipe(latents=x, **OPTIONS)


FRESH = """
import sys
from asyrp import AsyrpPipeline
pipe = AsyrpPipeline.from_pretrained(sys.argv[1])
pipe.set_progress_bar_config(disable=True)
print(type(pipe.direction).__name__, pipe(num_inference_steps=4).images[0].size)
"""


@pytest.mark.slow
def test_a_new_process_finds_the_direction(pipe: AsyrpPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    words = [sys.executable, "-c", FRESH, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "DirectionModel (16, 16)"


def test_the_scheduler_takes_no_steps(pipe: AsyrpPipeline) -> None:
    before = dict(pipe.scheduler.config)
    assert pipe(batch_size=1, generator=generators(1), **OPTIONS).images.shape == (1, 3, 16, 16)
    assert dict(pipe.scheduler.config) == before == dict(scheduler().config)

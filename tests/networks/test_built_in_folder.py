"""The built-in network is a pipeline folder of plain diffusers."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from diffusers import DDIMPipeline, UNet2DModel

import asyrp
from asyrp.method.ddim import generate
from grids import trailing_grid

FOLDER = Path(str(files("asyrp.domains.avatars").joinpath("weights", "avatars-64")))


@torch.no_grad()
def test_plain_diffusers_loads_and_samples_it() -> None:
    pipe = DDIMPipeline.from_pretrained(FOLDER)
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe.unet) is UNet2DModel
    assert pipe.scheduler.config["clip_sample"] is False
    images = pipe(
        batch_size=2,
        generator=torch.Generator().manual_seed(3),
        num_inference_steps=5,
        output_type="np",
    ).images
    model = asyrp.load_model("avatars-64")
    x = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(3))
    grid = trailing_grid(5, model.schedule.length)  # as its scheduler says
    *_, done = generate(model, model.schedule, x, grid)
    wanted = (done.x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert (torch.from_numpy(images) - wanted).abs().max() < 1e-3
    assert images.std() > 0.1


@pytest.mark.filterwarnings("ignore:passed over in DDIMScheduler")
def test_its_parts_are_those_that_load_model_takes() -> None:
    own = asyrp.load_model("avatars-64")
    assert asyrp.load_model(FOLDER).fingerprint() == own.fingerprint()
    assert asyrp.load_model(FOLDER / "unet").unet.config.sample_size == 64

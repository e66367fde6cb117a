"""What only a GPU can show, in one run: `make gpu`. ASYRP_TEST_DEVICE names another device.

Everywhere else these tests are skipped, and the device of `far_device` stands in.
"""

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from asyrp.cli import main
from asyrp.diffusers_pipeline import AsyrpPipeline
from asyrp.finders.clip_training import fit, new_direction
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import load_direction
from asyrp.method.editing import edit, invert, latents_of, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.networks import load_model
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision, TrainSettings
from bench.subjects import subject
from conftest import noise, tiny_model
from doubles import tiny_guide
from gloo import free_port
from places import furnished
from tiny_folders import latent_scheduler, save_stable_diffusion, tiny_latent_unet, tiny_vq

DEVICE = os.environ.get("ASYRP_TEST_DEVICE", "cuda")
HERE = torch.cuda.is_available() or not DEVICE.startswith("cuda")
REAL = pytest.mark.skipif(not DEVICE.startswith("cuda"), reason="only a GPU shows it")
LEVELS: dict[str, float] = {"float32": 0.2, "bfloat16": 4.0}  # mean difference of pixels, 0 to 255
RELATIVE: dict[str, float] = {"float32": 1e-3, "bfloat16": 0.05}  # of latents and weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HERE, reason=f"no {DEVICE} on this machine"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return furnished(tmp_path_factory.mktemp("gpu"))


@pytest.fixture(autouse=True)
def _settled() -> None:
    set_up_torch()


def run(device: str, precision: str, *words: object) -> None:
    line = [*map(str, words), "--device", device, "--dtype", precision]
    assert main(line) == 0, line


def pictures(folder: Path) -> np.ndarray:
    """(n, height, width, 3)."""
    paths = sorted(folder.rglob("*.png"))
    return np.stack([np.asarray(Image.open(path).convert("RGB"), np.float64) for path in paths])


def off(found: Tensor, wanted: Tensor) -> float:
    found = found.float().cpu()
    return float((found - wanted).norm() / wanted.norm())


def commands(place: Path) -> dict[str, list[object]]:
    """Every command that walks, on few steps."""
    some = ["--images", place / "four", "--steps", 4]
    when = ["--t-start", 999, "--t-edit", 500, "--t-boost", 200]
    direction = ["--direction", place / "odd.safetensors"]
    return {
        "invert": ["invert", *some],
        "invert by belm": ["invert", *some, "--inversion", "belm"],
        "edit": ["edit", *some, *direction, "--strengths", 0, 1],
        "edit of a store": ["edit", *some, *direction, "--store", "STORE"],
        "sample": ["sample", "--count", 4, "--steps", 4, *direction],
        "find": ["find", *some, *when, "--by", "pca", "--components", 1],
        "find by jacobian": ["find", *some, *when, "--by", "jacobian", "--components", 1],
    }


NAMES = ("invert", "invert by belm", "edit", "edit of a store", "sample", "find")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", [*NAMES, "find by jacobian"])
def test_a_command_makes_what_it_makes_on_the_cpu(
    place: Path, tmp_path: Path, name: str, precision: str
) -> None:
    line = commands(place)[name]
    for folder, device, kind in (("near", "cpu", "float32"), ("far", DEVICE, precision)):
        out = tmp_path / folder
        own = [out / "store" if word == "STORE" else word for word in line]
        run(device, kind, *own, "--out", out / "out")
    near, far = (pictures(tmp_path / folder / "out") for folder in ("near", "far"))
    assert near.shape == far.shape
    assert np.abs(near - far).mean() < LEVELS[precision] * (4 if "jacobian" in name else 1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns_what_it_learns_on_the_cpu(
    place: Path, tmp_path: Path, precision: str
) -> None:
    words: list[object] = ["train", "--images", place / "four", "--source", "face"]
    words += ["--target", "smiling face", "--train.steps", 6, "--train.epochs", 2]
    words += ["--t-start", 999, "--t-edit", 500, "--t-boost", 100, "--validation", 1]
    found = {}
    for device, kind in (("cpu", "float32"), (DEVICE, precision)):
        out = tmp_path / f"{device}-{kind}.safetensors".replace(":", "")
        run(device, kind, *words, "--out", out)
        saved = load_direction(out, load_model("avatars-64"))
        weights = [p.detach().flatten() for p in saved.direction.parameters()]
        found[device, kind] = torch.cat(weights)
    if len(found) == 2:
        bound = 0.05 if precision == "float32" else 0.5  # Adam's first steps are of signs
        assert off(found[DEVICE, precision], found["cpu", "float32"]) < bound


def test_phases_edits_and_domains_are_measured(place: Path, tmp_path: Path) -> None:
    texts = ["--source", "face", "--target", "smiling face"]
    some = ["--images", place / "four"]
    run(DEVICE, "auto", "intervals", *some, *texts, "--steps", 8, "--out", tmp_path / "phases")
    run(DEVICE, "auto", "invert", *some, "--steps", 4, "--out", tmp_path / "edits")
    line = ["evaluate", *some, "--edits", tmp_path / "edits", *texts, "--leave-out", "fid"]
    assert main([*map(str, line), "--device", DEVICE, "--out", str(tmp_path / "table")]) == 0
    study = ["study", "theorem1", *some, "--faces", 2, "--out", tmp_path / "study"]
    run(DEVICE, "auto", *study)
    assert json.loads((tmp_path / "phases" / "intervals.json").read_text())


# walks


@REAL
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_of_a_walk_waits(precision: Precision) -> None:
    model = load_model("avatars-64", DEVICE, precision)
    act = Attribute(lambda h, emb, t: 0.1 * h, 400)
    x, z = noise(4, 3, 64, 64).tanh().to(DEVICE), random_latents(model, 4)
    warm(lambda: steps_of(model, x, z, act))
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps_of(model, x, z, act)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def steps_of(model: HSpaceUNet, x: Tensor, z: Tensor, act: Attribute) -> None:
    """The steps of an inversion and an edit, without what is checked at their ends."""
    from asyrp.method.asymmetric_process import reverse_process
    from asyrp.method.ddim import invert_steps, seeded_generators
    from asyrp.method.schedule import paper_grid

    grid = paper_grid(6)
    with torch.no_grad():
        up = invert_steps(model, model.schedule, x, grid)
        for _ in range(5):
            next(up)
        for _ in reverse_process(model, z, grid, [act], 200, seeded_generators(4)):
            pass


def warm(work: Callable[[], object]) -> None:
    work()
    torch.cuda.synchronize()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_latents_and_edits_lie_near_those_of_the_cpu(precision: Precision) -> None:
    exact, model = load_model("avatars-64"), load_model("avatars-64", DEVICE, precision)
    x, act = noise(3, 3, 64, 64).tanh(), Attribute(lambda h, emb, t: 0.1 * h, 400)
    wanted, found = (latents_of(one, x, 8, refinements=1) for one in (exact, model))
    assert off(found, wanted) < RELATIVE[precision]
    ours = edit(model, wanted, [act], 8, 200)
    assert off(ours, edit(exact, wanted, [act], 8, 200)) < 3 * RELATIVE[precision]


def test_a_network_of_latents_trains_and_decodes(tmp_path: Path) -> None:
    folder = save_stable_diffusion(tmp_path)
    exact, model = load_model(folder), load_model(folder, DEVICE, "bfloat16")
    x = exact.space.encode(noise(2, *exact.picture_shape).tanh())
    there = x.to(DEVICE).requires_grad_()
    assert off(model.space.decode(there).detach(), exact.space.decode(x)) < 0.05
    (gradient,) = torch.autograd.grad(model.space.decode(there).square().sum(), there)
    assert gradient.isfinite().all()


@REAL
def test_an_offloaded_pipeline_edits_as_one_that_stays() -> None:
    picture = noise(1, 3, 16, 16).tanh() / 2 + 0.5
    how: dict[str, Any] = {"num_inference_steps": 4, "output_type": "pt"}
    parts = {"unet": tiny_latent_unet(), "scheduler": latent_scheduler(), "vqvae": tiny_vq()}
    wanted = AsyrpPipeline(**parts).to(DEVICE)(picture, **how).images
    offloaded = AsyrpPipeline(**{**parts, "unet": tiny_latent_unet(), "vqvae": tiny_vq()})
    offloaded.enable_model_cpu_offload(device=DEVICE)
    found = offloaded(picture, **how).images
    torch.testing.assert_close(found.cpu(), wanted.cpu(), atol=1e-3, rtol=0)


# memory


@REAL
def test_a_batch_that_does_not_fit_is_halved() -> None:
    model = subject("ddpm-64", "bfloat16", DEVICE)
    x = noise(64, 3, 64, 64).tanh()
    wanted = latents_of(model, x, 3, batch_size=4)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    latents_of(model, x[:8], 3, batch_size=8)
    need = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(1.5 * need / whole)
    try:
        with pytest.warns(UserWarning, match="memory does not suffice for 64 images"):
            found = latents_of(model, x, 3, batch_size=64)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert off(found, wanted.cpu()) < 0.02


@REAL
def test_training_halves_its_batch_and_learns_the_same() -> None:
    model, guide = tiny_model().to(DEVICE), tiny_guide()
    guide = guide._replace(direction=guide.direction.to(DEVICE))
    window = editing_window(999, 600, 8)
    settings = TrainSettings(steps=8, epochs=1, batch_size=4, validate_every=0, along="edited")
    sources = joined(list(prepare(model, guide, noise(4, 3, 16, 16).to(DEVICE), window, 4)))
    found = []
    for tight in (False, True):
        direction = new_direction(model, window.grid, settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if tight:
                held = torch.cuda.memory_allocated()
                whole = torch.cuda.get_device_properties(DEVICE).total_memory
                torch.cuda.empty_cache()
                torch.cuda.set_per_process_memory_fraction((held + 24 * 2**20) / whole)
            try:
                list(fit(model, direction, guide, sources, window.grid, settings))
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        found.append(torch.cat([p.detach().flatten() for p in direction.parameters()]))
    assert off(found[1], found[0].cpu()) < 1e-2


@REAL
def test_float32_means_it_and_convolutions_try_their_ways() -> None:
    assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    a = noise(512, 512)
    assert off(a.to(DEVICE) @ a.to(DEVICE), a @ a) < 1e-5


@REAL
def test_reduced_convolutions_are_channels_last() -> None:
    weight = load_model("avatars-64", DEVICE, "bfloat16").unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


# processes


@REAL
def test_more_processes_than_gpus_are_refused(place: Path, tmp_path: Path) -> None:
    count = torch.cuda.device_count() + 1
    launch = ["-m", "accelerate.commands.launch", "--num_machines", "1", "--multi_gpu"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", str(free_port()), "--num_processes", str(count)]
    words = ["invert", "--images", place / "four", "--steps", 4, "--out", tmp_path / "out"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "asyrp", *map(str, words), "--device", "cuda"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "need a GPU each" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_inversion_comes_back() -> None:
    model = load_model("avatars-64", DEVICE, "auto")
    done = invert(model, 0.3 * noise(2, 3, 64, 64).tanh(), 20, refinements=1)
    assert done.errors.max() < 0.02

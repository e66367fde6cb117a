"""One policy of precision: what is rounded, what is not, and how far results move for it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.finders.clip_training import new_direction
from asyrp.finders.training_goal import TrainingGoal
from asyrp.finders.training_run import TrainingRun
from asyrp.method.editing import edit, invert, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.unedited_trajectory import editing_window
from asyrp.networks import load_model
from asyrp.options import Network
from asyrp.runtime import precision
from asyrp.runtime.fast_blocks import use_fast_blocks
from asyrp.runtime.fast_norm import FastGroupNorm
from asyrp.runtime.precision import REDUCED, autocast, bfloat16_pays, precision_of, round_products
from asyrp.scorers.load import encoder_for, load_encoder
from asyrp.settings import TrainSettings
from asyrp.storage.results import record
from conftest import noise, tiny_model
from doubles import tiny_guide
from tiny_folders import save_ldm, save_stable_diffusion

CPU = torch.device("cpu")
RELATIVE = {torch.bfloat16: 0.02, torch.float16: 0.003}  # of one prediction: 2^-9 and 2^-12, summed


def reduced(model: HSpaceUNet, dtype: torch.dtype) -> HSpaceUNet:
    other = copy.deepcopy(model)
    round_products(other.unet, dtype)
    return other


def off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


# what is rounded


def test_products_are_rounded_and_nothing_else() -> None:
    for name in ("bfloat16", "float16"):
        model = load_model("avatars-64", dtype=name)
        asked = getattr(torch, name)
        assert model.dtype == asked
        for part, layer in model.unet.named_modules():
            weight = getattr(layer, "weight", None)
            product = isinstance(layer, nn.Conv2d | nn.Linear) and "embedding" not in part
            if isinstance(weight, Tensor):
                assert weight.dtype == (asked if product else torch.float32), part
        encoded = model.encode(noise(2, 3, 64, 64), 500)
        assert encoded.h.dtype == asked
        assert encoded.emb.dtype == torch.float32
        assert model.decode(encoded).dtype == torch.float32
        assert model.fingerprint() == load_model("avatars-64").fingerprint()


@pytest.mark.parametrize("dtype", REDUCED)
def test_predictions_lie_within_the_bound_of_the_precision(dtype: torch.dtype) -> None:
    for changes in ({}, {"resnet_time_scale_shift": "scale_shift"}):
        exact = tiny_model(**changes)
        x = noise(3, *exact.image_shape)
        for plain in (True, False):
            low = reduced(exact, dtype)
            if not plain:
                use_fast_blocks(low.unet)
            for t in (10, torch.tensor([10, 500, 999])):
                with torch.no_grad():
                    assert 0 < off(low(x, t), exact(x, t)) < RELATIVE[dtype]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_pictures_come_back_and_are_edited_nearly_as_in_float32(dtype: precision.Precision) -> None:
    exact, low = load_model("avatars-64"), load_model("avatars-64", dtype=dtype)
    x = 0.5 * noise(2, 3, 64, 64, seed=3).tanh()
    found, wanted = (invert(one, x, 6, refinements=1, batch_size=2) for one in (low, exact))
    assert off(found.latents, wanted.latents) < 0.02
    assert (found.errors - wanted.errors).abs().max() < 1e-3
    z = random_latents(exact, 2)
    assert off(edit(low, z, steps=6), edit(exact, z, steps=6)) < 0.05


@pytest.mark.parametrize("save", [save_ldm, save_stable_diffusion])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autoencoders_follow(save: object, dtype: precision.Precision, tmp_path: Path) -> None:
    folder = save(tmp_path)  # type: ignore[operator]
    exact, low = load_model(folder), load_model(folder, dtype=dtype)
    pictures = noise(2, *exact.picture_shape).tanh()
    x = exact.space.encode(pictures)
    assert off(low.space.encode(pictures), x) < 0.02
    if save is save_stable_diffusion:  # the other's codes are quantised, which rounding may turn
        assert off(low.space.decode(x), exact.space.decode(x)) < 0.03
    assert low.space.decode(x).dtype == torch.float32
    kept = [layer for layer in low.space.modules() if isinstance(layer, nn.GroupNorm)]
    assert all(layer.weight.dtype == torch.float32 for layer in kept)


def test_an_autoencoder_that_overflows_stays_in_float32(tmp_path: Path) -> None:
    config = save_stable_diffusion(tmp_path) / "vae" / "config.json"
    config.write_text(config.read_text().replace('"force_upcast": false', '"force_upcast": true'))
    if '"force_upcast": true' not in config.read_text():
        pytest.fail("the folder says nothing of force_upcast")
    kinds = {}
    for dtype in ("float16", "bfloat16"):
        coder = load_model(tmp_path, dtype=dtype).space.coder
        kinds[dtype] = coder.decoder.conv_in.weight.dtype
    assert kinds == {"float16": torch.float32, "bfloat16": torch.bfloat16}


def test_encoders_look_as_precisely_as_the_network_and_read_in_float32() -> None:
    low = encoder_for(load_model("avatars-64", dtype="bfloat16"), "avatars-64-clip")
    exact, x = load_encoder("avatars-64-clip"), noise(2, 3, 64, 64).tanh()
    assert 1e-5 < off(low.image_features(x), exact.image_features(x)) < 0.02
    assert low.image_features(x).dtype == torch.float32
    assert torch.equal(low.text_features(["smiling face"]), exact.text_features(["smiling face"]))


# auto


def test_auto_asks_the_machine_and_a_name_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def pays(device: torch.device) -> bool:
        asked.append(device)
        return len(asked) == 1

    monkeypatch.setattr(precision, "bfloat16_pays", pays)
    assert precision_of("auto", "cpu") == torch.bfloat16
    assert precision_of("auto", "cpu") == torch.float32
    assert asked == [CPU, CPU]
    for name in ("float32", "bfloat16", "float16"):
        assert precision_of(name, "cpu") == getattr(torch, name)
    assert len(asked) == 2


def test_a_trial_that_is_slower_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    for slower in (True, False):
        bfloat16_pays.cache_clear()
        seconds = {torch.float32: 1.0, torch.bfloat16: 0.9 if slower else 0.5}
        monkeypatch.setattr(precision, "_seconds", seconds.__getitem__)
        assert bfloat16_pays(CPU) is not slower
    bfloat16_pays.cache_clear()


def test_full_precision_leaves_the_caller_s_autocast_alone() -> None:
    a = noise(4, 4)
    with torch.autocast("cpu", torch.bfloat16), autocast(CPU, torch.float32):
        assert (a @ a).dtype == torch.bfloat16
    with autocast(CPU, torch.float16):
        assert (a @ a).dtype == torch.float16
    assert (a @ a).dtype == torch.float32


def test_training_refuses_what_gradients_are_too_small_for() -> None:
    guide, window = tiny_guide(), editing_window(999, 600, 8)
    model = reduced(tiny_model(), torch.float16)
    settings = TrainSettings(steps=8)
    goal = TrainingGoal(new_direction(model, window.grid, settings), guide, window.grid)
    with pytest.raises(AsyrpError, match="too small for float16; needed --dtype bfloat16, auto"):
        TrainingRun(model, [goal], settings)


def test_the_record_of_a_run_says_what_auto_was() -> None:
    low = reduced(tiny_model(), torch.bfloat16)
    told = record("edit", Network(dtype="auto"), low)
    assert (told["network"]["precision"], told["options"]["dtype"]) == ("bfloat16", "auto")


# norms


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [8, 40])
def test_norms_find_the_gradient_of_torch_s(dtype: torch.dtype, side: int) -> None:
    plain = nn.GroupNorm(4, 12).requires_grad_(False)
    with torch.no_grad():
        plain.weight.copy_(noise(12) + 1)
        plain.bias.copy_(noise(12, seed=1))
    fast = copy.deepcopy(plain)
    fast.__class__ = FastGroupNorm
    x = (3 + 2 * noise(3, 12, side, side, seed=2)).to(memory_format=torch.channels_last)
    g = noise(3, 12, side, side, seed=3).to(memory_format=torch.channels_last)
    found = []
    for norm, kind in ((plain.double(), torch.float64), (fast, dtype)):
        given = x.to(kind).requires_grad_()
        y = norm(given)
        found.append((y.detach().double(), torch.autograd.grad(y, given, g.to(kind))[0].double()))
        assert y.dtype == kind
    for ours, exact in zip(found[1], found[0], strict=True):
        assert off(ours, exact) < (3e-6 if dtype == torch.float32 else 6e-3)


def test_norms_that_train_and_other_formats_are_torch_s() -> None:
    for layer, x in (
        (FastGroupNorm(2, 4), noise(1, 4, 40, 40).to(memory_format=torch.channels_last)),
        (FastGroupNorm(2, 4).requires_grad_(False), noise(1, 4, 40, 40)),
    ):
        x.requires_grad_()
        plain = nn.GroupNorm(2, 4)
        assert torch.equal(layer(x), plain(x))
        assert layer(x).grad_fn.name() == plain(x).grad_fn.name()


@pytest.mark.parametrize("name", ["float8", torch.float16, None])
def test_a_precision_that_there_is_not_is_refused(name: Any) -> None:
    with pytest.raises(AsyrpError, match="dtype must be one of 'float32', 'bfloat16', .*; got"):
        precision_of(name, "cpu")

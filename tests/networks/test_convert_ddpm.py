"""DDPM checkpoints: the official fixture, and random networks against the second formulation."""

from pathlib import Path
from typing import Any

import pytest
import test_official
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file

from asyrp import AsyrpError, load_model
from asyrp.method.hspace import HSpaceUNet
from asyrp.networks.convert import reference_ddpm
from asyrp.networks.convert.convert import convert_back, write_folder
from asyrp.networks.convert.detect import detect
from conftest import noise
from converted import (
    CHECKS,
    FOLDER,
    assert_bit_for_bit,
    check_training,
    convert_official,
    converted,
    relative,
)
from official import Official
from originals import Ddpm, ddpm_weights

NETS: dict[str, Ddpm] = {
    "attention below": Ddpm(),
    "attention on top, two blocks": Ddpm(blocks=2, attends=(True, False)),
    "three levels, two of them with attention": Ddpm(mult=(1, 2, 2), attends=(False, True, True)),
    "attention in the middle alone": Ddpm(attends=(False, False)),
    "learned variance": Ddpm(outside=6),
    "grey": Ddpm(inside=1, outside=1),
    "one level": Ddpm(mult=(1,), attends=(True,)),
    "wide": Ddpm(channels=64, mult=(1, 1, 3), attends=(False, False, True)),
}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Official:
    return convert_official("ddpm", tmp_path_factory.mktemp("ddpm"))


@pytest.mark.parametrize("check", CHECKS)
@torch.no_grad()
def test_the_official_network(net: Official, check: Any) -> None:
    check(net)


@pytest.mark.parametrize(("kind", "weight"), [("training", 3.0), ("training_clip_only", 0.0)])
def test_official_training(kind: str, weight: float, tmp_path: Path) -> None:
    check_training("ddpm", kind, weight, tmp_path)


@torch.no_grad()
def test_the_second_formulation_is_the_official_one() -> None:
    weights = load_file(FOLDER / "ddpm.unet.safetensors")
    expected = load_file(FOLDER / "ddpm.expected.safetensors")
    h, output = reference_ddpm.forward(weights, expected["x"], expected["t"])
    test_official.assert_same(h, expected["h"], 1e-5)
    test_official.assert_same(output, expected["eps_raw"], 1e-5)
    mixed = reference_ddpm.forward(weights, expected["x"], expected["t_mixed"])[1]
    test_official.assert_same(mixed, expected["eps_mixed_raw"], 1e-5)


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_random_networks(name: str, tmp_path: Path) -> None:
    net, weights = NETS[name], ddpm_weights(NETS[name])
    done = converted(weights, "ddpm")
    assert done.structure.widths == tuple(net.channels * m for m in net.mult)
    assert done.structure.attends == tuple(net.attends)
    write_folder(tmp_path / "net", done, {})
    model = load_model(tmp_path / "net")
    x, t = noise(3, net.inside, 32, 24), torch.tensor([0, 517, 999])
    h, output = reference_ddpm.forward(weights, x, t)
    encoded = model.encode(x, t)
    assert relative(encoded.h, h) < 1e-5
    assert relative(model.decode_raw(encoded), output) < 1e-5
    assert_bit_for_bit(convert_back(tmp_path / "net").weights, weights)


@torch.no_grad()
def test_plain_diffusers_opens_the_folder(tmp_path: Path) -> None:
    weights = ddpm_weights(Ddpm())
    write_folder(tmp_path / "net", converted(weights, "ddpm"), {})
    unet = UNet2DModel.from_pretrained(str(tmp_path / "net"), use_safetensors=True)
    x, t = noise(2, 3, 32, 32), torch.tensor([3, 870])
    wanted = reference_ddpm.forward(weights, x, t)[1]
    assert relative(unet(x, t).sample, wanted) < 1e-5
    assert relative(HSpaceUNet(unet, load_model(tmp_path / "net").schedule)(x, t), wanted) < 1e-5


def test_flags_of_the_other_family_do_no_harm() -> None:
    config = {"num_heads": 4, "num_head_channels": 64, "use_new_attention_order": True}
    assert converted(ddpm_weights(Ddpm()), "ddpm", **config).proof.difference < 1e-5


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_the_precision_of_the_file_is_kept(precision: torch.dtype, tmp_path: Path) -> None:
    weights = {key: value.to(precision) for key, value in ddpm_weights(Ddpm()).items()}
    write_folder(tmp_path / "net", converted(weights, "ddpm"), {})
    assert_bit_for_bit(convert_back(tmp_path / "net").weights, weights)
    assert load_model(tmp_path / "net").dtype == torch.float32


def test_the_schedule_of_a_yml_reaches_the_model(tmp_path: Path) -> None:
    config = {
        "data": {"image_size": 32, "channels": 3},
        "model": {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "attn_resolutions": [16]},
        "diffusion": {"beta_start": 2e-4, "beta_end": 0.01, "num_diffusion_timesteps": 500},
    }
    write_folder(tmp_path / "net", converted(ddpm_weights(Ddpm()), "ddpm", **config), {})
    schedule = load_model(tmp_path / "net").schedule
    assert schedule.length == 500
    assert schedule.alpha_bar(0) == pytest.approx(1 - 2e-4, abs=1e-12)
    last = schedule.alpha_bar(499) / schedule.alpha_bar(498)
    assert last == pytest.approx(0.99, abs=1e-12)


def without(weights: dict[str, torch.Tensor], *starts: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith(starts)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "mid."), "h-space is the output of the mid block"),
        (lambda w: without(w, "down.0.downsample"), "lacks 2 keys.*down.0.downsample.conv"),
        (lambda w: without(w, "mid.attn_1"), "lacks 10 keys.*mid.attn_1.k.bias"),
        (lambda w: without(w, "down.1.block.0.conv2.weight"), "lacks 1 keys.*down.1.block.0.conv2"),
        (lambda w: w | {"layer_0.conv1.weight": torch.ones(2)}, "1 keys that.*layer_0.conv1"),
        (lambda w: w | {"conv_out.bias": torch.ones(4)}, "conv_out.bias.*another shape"),
        (lambda w: w | {"conv_out.bias": torch.full((3,), torch.nan)}, "not finite"),
        (lambda w: w | {"conv_in.weight": torch.ones(64, 3, 3, 3)}, "cannot be converted"),
    ],
)
def test_broken_networks_are_refused(change: Any, message: str) -> None:
    with pytest.raises(AsyrpError, match=message):
        converted(change(ddpm_weights(Ddpm())), "ddpm")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"family": "adm"}, "hyper-parameters are of adm, the file ddpm"),
        ({"ch": 64}, "channels = 64; the shapes of the file say 32"),
        ({"ch_mult": "1,4"}, r"channel_mult = \(1, 4\); the shapes of the file say \(1, 2\)"),
        ({"num_res_blocks": 2}, "res_blocks = 2"),
        ({"attn_resolutions": [32]}, r"attention at \[32\]; in the file it is at \[16\]"),
        ({"learn_sigma": True}, "learned_sigma = True"),
        ({"beta_schedule": "sigmoid"}, "noise schedule must be one of"),
        ({"num_res_blocks": "two"}, "num_res_blocks = 'two' cannot be used"),
    ],
)
def test_hyper_parameters_of_another_network_are_refused(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(AsyrpError, match=message):
        converted(ddpm_weights(Ddpm()), "ddpm", **config)


def test_the_averaged_weights_of_a_training_state_are_taken_and_told() -> None:
    plain, averaged = ddpm_weights(Ddpm()), ddpm_weights(Ddpm(), seed=1)
    parallel = {f"module.{key}": value for key, value in plain.items()}
    state = [parallel, {"state": {}, "param_groups": []}, 3, 100, averaged]
    with pytest.warns(UserWarning, match="'4' is taken, the average .*, and not '0/module'"):
        found = detect(state, "the test")
    assert found.place == "4"
    assert_bit_for_bit(found.tensors, averaged)
    assert_bit_for_bit(detect(state[:4], "the test").tensors, plain)


@pytest.mark.parametrize("name", ["ema", "state_dict_EMA", "shadow", "averaged_model", "swa_model"])
def test_an_average_is_known_by_many_names(name: str) -> None:
    plain, averaged = ddpm_weights(Ddpm()), ddpm_weights(Ddpm(), seed=1)
    named = {"model": plain, name: averaged, "step": 3}
    with pytest.warns(UserWarning, match=f"'{name}' is taken, the average .*, and not 'model'"):
        assert_bit_for_bit(detect(named, "the test").tensors, averaged)


def test_of_networks_without_an_average_the_first_is_taken_and_told() -> None:
    state = {"generator": ddpm_weights(Ddpm()), "teacher": ddpm_weights(Ddpm(), seed=1)}
    with pytest.warns(UserWarning, match="'generator' is taken, the first, and not 'teacher'"):
        assert_bit_for_bit(detect(state, "the test").tensors, state["generator"])

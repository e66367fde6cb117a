"""ADM and iDDPM checkpoints: the official fixtures, and random networks of every variant."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import test_official
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from asyrp import AsyrpError, HSpaceUNet, load_model
from asyrp.method.schedule import linear
from asyrp.networks import OriginalUNet2DModel
from asyrp.networks.convert import adm, reference_adm
from asyrp.networks.convert.convert import WEIGHTS, convert, convert_back, write_folder
from asyrp.networks.convert.defaults import resolve
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import Hyperparameters, read_hyperparameters
from asyrp.networks.convert.reference_adm import Net
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
from originals import Adm, adm_weights

# what the original scripts were told -> the network's shapes
NETS: dict[str, tuple[Adm, dict[str, Any]]] = {
    "as the paper's": (Adm(), {"num_head_channels": 16}),
    "new order of q, k, v": (Adm(), {"head_channels": 16, "use_new_attention_order": True}),
    "convolutions resample": (Adm(updown=False), {"num_head_channels": 32}),
    "no scale-shift norm": (Adm(scale_shift=False), {"num_heads": 1}),
    "no scale-shift norm, convolutions, two blocks": (
        Adm(scale_shift=False, updown=False, blocks=2),
        {"num_heads": 1},
    ),
    "classes": (Adm(classes=7), {"num_head_channels": 16, "class_cond": "True"}),
    "three levels with attention": (
        Adm(mult=(1, 2, 3), attends=(True, True, True), blocks=2),
        {"num_head_channels": 16, "attention_resolutions": "32,16,8"},
    ),
    "attention on top, convolutions": (
        Adm(attends=(True, False), updown=False),
        {"num_head_channels": 8},
    ),
    "no attention but in the middle": (Adm(attends=(False, False)), {"num_heads": 4}),
    "fixed heads, one width": (Adm(), {"num_heads": 4}),
    "fixed heads, three widths": (
        Adm(mult=(1, 2, 3), attends=(True, True, True)),
        {"num_heads": 4, "num_head_channels": -1},
    ),
    "fixed heads, new order, convolutions": (
        Adm(mult=(1, 2, 4), attends=(False, True, True), updown=False),
        {"heads": 2, "new_attention_order": True},
    ),
    "other heads on the way up": (
        Adm(mult=(1, 2), attends=(True, True)),
        {"num_heads": 4, "num_heads_upsample": 8},
    ),
    "known variance": (Adm(outside=3), {"num_head_channels": 16, "learn_sigma": False}),
    "grey": (Adm(inside=1, outside=2), {"num_head_channels": 16}),
    "4000 timesteps": (
        Adm(updown=False),
        {"num_heads": 4, "diffusion_steps": 4000, "noise_schedule": "cosine", "family": "iddpm"},
    ),
    "4000 timesteps, not rescaled": (
        Adm(updown=False),
        {"num_heads": 4, "diffusion_steps": 4000, "rescale_timesteps": "False"},
    ),
    "one level": (Adm(mult=(1,), attends=(True,)), {"num_heads": 2}),
}


def heads_at(config: dict[str, Any], channels: int, up: bool) -> int:
    """As the original constructor counts them."""
    width = config.get("num_head_channels", config.get("head_channels", -1))
    if width != -1:
        return int(channels // width)
    heads = config.get("num_heads", config.get("heads"))
    return int(config.get("num_heads_upsample", heads) if up else heads)


def original(weights: dict[str, Tensor], config: dict[str, Any]) -> Net:
    rescaled = config.get("family") == "iddpm"
    new_order = any(config.get(name) for name in ("use_new_attention_order", "new_attention_order"))
    scale = 1000 / config["diffusion_steps"] if rescaled else 1.0
    return Net(weights, lambda c, up: heads_at(config, c, up), new_order, scale)


@pytest.fixture(scope="module", params=["adm", "iddpm"])
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Official:
    return convert_official(request.param, tmp_path_factory.mktemp("adm"))


@pytest.mark.parametrize("check", CHECKS)
@torch.no_grad()
def test_the_official_networks(net: Official, check: Any) -> None:
    check(net)


@pytest.mark.parametrize(("kind", "weight"), [("training", 3.0), ("training_clip_only", 0.0)])
def test_official_training(kind: str, weight: float, tmp_path: Path) -> None:
    check_training("adm", kind, weight, tmp_path)


@pytest.mark.parametrize("name", ["adm", "iddpm"])
@torch.no_grad()
def test_the_second_formulation_is_the_official_one(name: str) -> None:
    weights = load_file(FOLDER / f"{name}.unet.safetensors")
    config = json.loads((FOLDER / f"{name}.json").read_text())
    net = Net(weights, lambda channels, up: channels // config["head_channels"])
    expected = load_file(FOLDER / f"{name}.expected.safetensors")
    h, output = reference_adm.forward(net, expected["x"], expected["t"])
    test_official.assert_same(h, expected["h"], 1e-5)
    test_official.assert_same(output, expected["eps_raw"], 1e-5)
    mixed = reference_adm.forward(net, expected["x"], expected["t_mixed"])[1]
    test_official.assert_same(mixed, expected["eps_mixed_raw"], 1e-5)


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_random_networks(name: str, tmp_path: Path) -> None:
    net, config = NETS[name]
    weights = adm_weights(net)
    write_folder(tmp_path / "net", converted(weights, "adm", **config), {})
    model = load_model(tmp_path / "net")
    last = model.schedule.length - 1
    x, t = noise(3, net.inside, 32, 24), torch.tensor([0, last // 2 + 1, last])
    labels = torch.tensor([0, 3, 6]) if net.classes else None
    h, output = reference_adm.forward(original(weights, config), x, t, labels)
    encoded = model.encode(x, t, labels)
    assert relative(encoded.h, h) < 1e-5
    assert relative(model.decode_raw(encoded), output) < 1e-5
    assert_bit_for_bit(convert_back(tmp_path / "net").weights, weights)


FIXED = NETS["fixed heads, three widths"]


@torch.no_grad()
def test_fixed_heads_survive_saving_and_loading(tmp_path: Path) -> None:
    weights = adm_weights(FIXED[0])
    write_folder(tmp_path / "net", converted(weights, "adm", **FIXED[1]), {})
    unet = OriginalUNet2DModel.from_pretrained(str(tmp_path / "net"))
    unet.save_pretrained(str(tmp_path / "again"))
    again = OriginalUNet2DModel.from_pretrained(str(tmp_path / "again"))
    x, t = noise(2, 3, 32, 32), torch.tensor([40, 900])
    wanted = reference_adm.forward(original(weights, FIXED[1]), x, t)[1]
    assert relative(again(x, t).sample, wanted) < 1e-5
    assert relative(load_model(tmp_path / "again").unet(x, t).sample, wanted) < 1e-5
    counts = {layer.heads for layer in again.modules() if hasattr(layer, "to_q")}
    assert counts == {4}
    prints = {load_model(tmp_path / name).fingerprint() for name in ("net", "again")}
    assert len(prints) == 1


def test_plain_diffusers_refuses_what_it_would_get_wrong(tmp_path: Path) -> None:
    write_folder(tmp_path / "net", converted(adm_weights(FIXED[0]), "adm", **FIXED[1]), {})
    with pytest.raises(TypeError):
        UNet2DModel.from_pretrained(str(tmp_path / "net"))


@pytest.mark.parametrize("name", ["fixed heads, one width", "as the paper's", "classes"])
def test_plain_diffusers_opens_what_it_can_express(name: str, tmp_path: Path) -> None:
    net, config = NETS[name]
    done = converted(adm_weights(net), "adm", **config)
    assert type(done.unet) is UNet2DModel
    write_folder(tmp_path / "net", done, {})
    assert UNet2DModel.from_pretrained(str(tmp_path / "net")).config["attention_head_dim"] == 16


@torch.no_grad()
def test_rescaled_timesteps_travel_with_the_network(tmp_path: Path) -> None:
    net, config = NETS["4000 timesteps"]
    weights = adm_weights(net)
    write_folder(tmp_path / "net", converted(weights, "adm", **config), {})
    unet = OriginalUNet2DModel.from_pretrained(str(tmp_path / "net"))
    x, t = noise(2, 3, 32, 32), torch.tensor([1, 3998])
    wanted = reference_adm.forward(original(weights, config), x, t)[1]
    assert relative(HSpaceUNet(unet, linear(4000))(x, t), wanted[:, :3]) < 1e-5
    schedule = load_model(tmp_path / "net").schedule
    assert schedule.length == 4000
    assert schedule.alpha_bar(2000) == pytest.approx(0.494, abs=2e-3)  # cosine


def test_the_linear_schedule_follows_the_number_of_timesteps(tmp_path: Path) -> None:
    net, config = NETS["4000 timesteps, not rescaled"]
    write_folder(tmp_path / "net", converted(adm_weights(net), "adm", **config), {})
    schedule = load_model(tmp_path / "net").schedule
    assert schedule.alpha_bar(0) == pytest.approx(1 - 2.5e-5, abs=1e-12)
    last = schedule.alpha_bar(3999) / schedule.alpha_bar(3998)
    assert last == pytest.approx(0.995, abs=1e-9)


def test_predicting_x0_reaches_the_model(tmp_path: Path) -> None:
    config = {"num_head_channels": 16, "predict_xstart": True}
    write_folder(tmp_path / "net", converted(adm_weights(Adm()), "adm", **config), {})
    assert load_model(tmp_path / "net").prediction == "sample"


@torch.no_grad()
def test_folders_of_the_fork_of_diffusers_are_put_right(tmp_path: Path) -> None:
    net, config = NETS["as the paper's"]
    weights = adm_weights(net)
    write_folder(tmp_path / "net", converted(weights, "adm", **config), {})
    wanted = load_model(tmp_path / "net")
    state = load_file(tmp_path / "net" / WEIGHTS)
    heads = {n: m.heads for n, m in wanted.unet.named_modules() if hasattr(m, "to_q")}
    for layer, count in heads.items():
        for kind in ("weight", "bias"):
            parts = [state[f"{layer}.to_{name}.{kind}"] for name in "qkv"]
            thirds = adm.join(parts, count, new_order=False).chunk(3)
            state |= {
                f"{layer}.to_{n}.{kind}": p.clone() for n, p in zip("qkv", thirds, strict=True)
            }
    save_file(state, tmp_path / "net" / WEIGHTS, {"format": "pt"})
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config |= {"attention_legacy_order": True, "time_embedding_type": "adm"}
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    x, t = noise(2, 3, 32, 32), torch.tensor([5, 995])
    assert torch.equal(load_model(tmp_path / "net")(x, t), wanted(x, t))


def test_a_wrong_conversion_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adm, "split", lambda qkv, heads, new_order: qkv.chunk(3))
    with pytest.raises(AsyrpError, match=r"differs from the original by .*limit 0.0001"):
        converted(adm_weights(Adm()), "adm", num_head_channels=16)


def without(weights: dict[str, Tensor], *starts: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith(starts)}


def wide_sinusoid(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """ADM-512: the first convolution is half as wide as the sinusoid."""
    return weights | {"time_embed.0.weight": torch.ones(128, 64)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wide_sinusoid, "sinusoid has 64 channels, its first convolution 32.*ADM-512"),
        (lambda w: without(w, "middle_block."), "h-space is the output of the mid block"),
        (lambda w: without(w, "output_blocks."), "no decoder.*classifier"),
        (lambda w: without(w, "input_blocks.2."), "lacks all of input_blocks.2"),
        (lambda w: without(w, "output_blocks.3."), "do not divide|keys are missing"),
        (lambda w: without(w, "middle_block.1.qkv.weight"), "lacks 1 keys.*middle_block.1.qkv"),
        (lambda w: without(w, "out.2.bias"), "lacks 1 keys.*out.2.bias"),
        (lambda w: w | {"low.weight": torch.ones(2)}, "1 keys that.*low.weight"),
        (lambda w: w | {"out.2.bias": torch.ones(4)}, "out.2.bias.*another shape"),
        (lambda w: w | {"out.0.bias": torch.full((32,), torch.inf)}, "not finite"),
    ],
)
def test_broken_networks_are_refused(change: Any, message: str) -> None:
    with pytest.raises(AsyrpError, match=message):
        converted(change(adm_weights(Adm())), "adm", num_head_channels=16)


def test_the_reason_comes_before_the_multiples_of_adm_512() -> None:
    with pytest.raises(AsyrpError, match="ADM-512 is such a network"):
        converted(wide_sinusoid(adm_weights(Adm())), "adm", channel_mult="0.5,1", num_heads=4)


def test_super_resolution_is_refused() -> None:
    with pytest.raises(AsyrpError, match=r"turns 6 channels into 6.*super-resolution"):
        converted(adm_weights(Adm(inside=6)), "adm", num_head_channels=16)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "give --config FILE.json with num_heads or num_head_channels"),
        ({"num_head_channels": 48}, "does not divide into heads"),
        ({"num_heads": 5}, "does not divide into heads"),
        ({"num_heads": 4, "resblock_updown": False}, "resblock_updown = False"),
        ({"num_heads": 4, "use_scale_shift_norm": "False"}, "scale_shift = False"),
        ({"num_heads": 4, "family": "ddpm"}, "are of ddpm, the file adm"),
        ({"num_heads": 4, "attention_resolutions": "32"}, r"attention at \[32\].*at \[16\]"),
        ({"num_heads": 4, "diffusion_steps": 1}, "timesteps T is 2 or more"),
    ],
)
def test_missing_or_wrong_hyper_parameters(config: dict[str, Any], message: str) -> None:
    size = {"image_size": 32} if config else {}
    said, _ = read_hyperparameters({**size, **config})
    found = detect(adm_weights(Adm()), "the test")
    with pytest.raises(AsyrpError, match=message):
        convert(found, said)


@pytest.mark.parametrize("config", [{"num_heads": 4.5}, {"learn_sigma": "perhaps"}, {"ch": [1]}])
def test_values_of_the_wrong_kind(config: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError, match=f"{next(iter(config))} = .* cannot be used"):
        read_hyperparameters(config)


def test_released_shapes_bring_their_heads() -> None:
    structure = converted(adm_weights(Adm()), "adm", num_heads=4).structure
    whole = replace(structure, widths=(128, 128, 256, 256, 512, 512), blocks=1, emb_channels=512)
    whole = replace(whole, attends=(False,) * 4 + (True, False))
    resolved, assumed = resolve(whole, Hyperparameters())
    assert resolved.heads_at(512, up=True) == 8
    assert resolved.image_size == 256
    assert "94M ADM of ILVR and P2-weighting" in assumed[0]
    own, _ = resolve(whole, Hyperparameters(heads=2))
    assert own.heads_at(512, up=False) == 2

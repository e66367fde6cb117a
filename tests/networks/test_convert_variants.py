"""Networks of the two families by chance, through `asyrp convert` and back."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import asyrp
from asyrp.cli import main
from conftest import noise
from converted import assert_bit_for_bit, relative
from original_modules import AdmModel, DdpmModel, randomised

FEW, MANY = range(12), range(12, 120)
MULTIPLES = [
    (1,),
    (1, 2),
    (1, 1),
    (1, 3),
    (1, 2, 2),
    (1, 1, 2),
    (1, 2, 4),
    (1, 2, 3, 4),
    (1, 1, 1, 2),
]


def ddpm_flags(draw: random.Random) -> dict[str, Any]:
    """Flags of a DDPM yml."""
    mult = draw.choice(MULTIPLES)
    size = draw.choice([32, 64, 96, 128, 256])
    sizes = [size >> i for i in range(len(mult))]
    inside = draw.choice([1, 3, 4])
    return {
        "ch": draw.choice([32, 32, 64]),
        "ch_mult": list(mult),
        "num_res_blocks": draw.choice([1, 2, 3]),
        "resamp_with_conv": draw.random() < 0.8,
        "attn_resolutions": draw.sample(sizes, draw.randint(0, len(sizes))),
        "resolution": size,
        "in_channels": inside,
        "out_ch": inside * draw.choice([1, 1, 2]),
        "dropout": draw.choice([0.0, 0.1]),
    }


def adm_flags(draw: random.Random) -> dict[str, Any]:
    """Flags of guided-diffusion's or improved-diffusion's scripts."""
    mult = draw.choice(MULTIPLES)
    size = draw.choice([32, 64, 96, 128, 256])
    sizes = [size >> i for i in range(len(mult))]
    inside = draw.choice([1, 3, 4])
    by_width = draw.random() < 0.5
    return {
        "image_size": size,
        "num_channels": draw.choice([32, 32, 64]),
        "num_res_blocks": draw.choice([1, 2, 3]),
        "channel_mult": list(mult),
        "attention_resolutions": draw.sample(sizes, draw.randint(0, len(sizes))),
        "in_channels": inside,
        "out_channels": inside * draw.choice([1, 2, 2]),
        "num_heads": draw.choice([1, 2, 4]),
        "num_head_channels": draw.choice([8, 16, 32]) if by_width else -1,
        "num_heads_upsample": draw.choice([-1, -1, 8]),
        "use_scale_shift_norm": draw.random() < 0.5,
        "resblock_updown": draw.random() < 0.5,
        "conv_resample": draw.random() < 0.7,
        "use_new_attention_order": draw.random() < 0.4,
        "dropout": draw.choice([0.0, 0.3]),
        "classes": draw.choice([0, 0, 7]),
    }


def scripted(flags: dict[str, Any]) -> dict[str, Any]:
    """As the original command lines say it: commas, and texts for switches."""
    said = {k: str(v) if isinstance(v, bool) else v for k, v in flags.items() if k != "classes"}
    for name in ("channel_mult", "attention_resolutions"):
        if name in said:
            said[name] = ",".join(map(str, said[name]))
    if "out_channels" in said:
        said["learn_sigma"] = flags["out_channels"] == 2 * flags["in_channels"]
        said["class_cond"] = bool(flags["classes"])
        said |= {"timestep_respacing": "250", "use_fp16": False}
    return said


def convert(net: nn.Module, flags: dict[str, Any], folder: Path) -> int:
    torch.save(net.state_dict(), folder / "net.pt")
    (folder / "net.json").write_text(json.dumps(scripted(flags)))
    words = [str(folder / "net.pt"), "--config", str(folder / "net.json")]
    return main(["convert", *words, "--out", str(folder / "out")])


@torch.no_grad()
def check(net: Any, flags: dict[str, Any], folder: Path, labels: Tensor | None) -> None:
    """Forward to a relative 1e-4 (in fact 1e-5), and the same bits back."""
    assert convert(net, flags, folder) == 0
    model = asyrp.load_model(folder / "out")
    inside = flags["in_channels"]
    size = flags.get("image_size") or flags["resolution"]
    assert model.image_shape == (inside, size, size)
    side = 2 << (len(flags.get("channel_mult") or flags["ch_mult"]) - 1)
    x, t = noise(3, inside, side, side * 2), torch.tensor([0, 311, 999])
    middle, output = net(x, t) if labels is None else net(x, t, labels)
    encoded = model.encode(x, t, labels)
    assert relative(encoded.h, middle) < 1e-5
    assert relative(model.decode_raw(encoded), output) < 1e-5
    assert relative(model(x, t, labels), output[:, :inside]) < 1e-5
    back = folder / "back.safetensors"
    assert main(["convert", str(folder / "out"), "--back", "--out", str(back)]) == 0
    assert_bit_for_bit(load_file(back), net.state_dict())


def check_ddpm(seed: int, folder: Path) -> None:
    flags = ddpm_flags(random.Random(seed))
    check(randomised(DdpmModel(**flags), seed), flags, folder, None)


def check_adm(seed: int, folder: Path) -> None:
    flags = adm_flags(random.Random(1000 + seed))
    labels = torch.tensor([0, 3, 6]) if flags["classes"] else None
    check(randomised(AdmModel(**flags), seed), flags, folder, labels)


@pytest.mark.parametrize("seed", FEW)
def test_adm_by_chance(seed: int, tmp_path: Path) -> None:
    check_adm(seed, tmp_path)


@pytest.mark.parametrize("seed", FEW[:8])
def test_ddpm_by_chance(seed: int, tmp_path: Path) -> None:
    check_ddpm(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_many_by_chance(seed: int, tmp_path: Path) -> None:
    (check_adm if seed % 3 else check_ddpm)(seed, tmp_path)


@torch.no_grad()
def test_rescaled_timesteps_of_4000(tmp_path: Path) -> None:
    flags = adm_flags(random.Random(5)) | {"classes": 0, "diffusion_steps": 4000}
    own = {k: v for k, v in flags.items() if k != "diffusion_steps"}
    net: Any = randomised(AdmModel(**own, time_scale=0.25), 5)
    assert convert(net, flags | {"rescale_timesteps": True}, tmp_path) == 0
    model = asyrp.load_model(tmp_path / "out")
    side = 4 << (len(flags["channel_mult"]) - 1)
    x, t = noise(3, flags["in_channels"], side, side), torch.tensor([0, 1234, 3999])
    wanted = net(x, t)[1][:, : flags["in_channels"]]
    assert relative(model(x, t), wanted) < 1e-5


REFUSED = {
    "a sinusoid of another width": (
        AdmModel(32, 32, 1, (2, 2), (16,)),
        {"image_size": 32, "num_heads": 1},
        "ADM-512 is such a network",
    ),
    "ADM-512": (
        AdmModel(64, 64, 1, (0.5, 1, 2), (16,)),  # type: ignore[arg-type]
        {"image_size": 64, "num_heads": 1},
        "ADM-512 is such a network",
    ),
    "a size that levels do not halve": (
        AdmModel(36, 32, 1, (1, 1, 1, 2), (9,)),
        {"image_size": 36, "num_heads": 1},
        "pictures of 36 pixels do not halve 3 times",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_says_why(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, said, message = REFUSED[name]
    torch.save(randomised(net, 0).state_dict(), tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(said))
    before = sorted(tmp_path.rglob("*"))
    words = [str(tmp_path / "net.pt"), "--config", str(tmp_path / "net.json")]
    assert main(["convert", *words, "--out", str(tmp_path / "deep" / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert sorted(tmp_path.rglob("*")) == before

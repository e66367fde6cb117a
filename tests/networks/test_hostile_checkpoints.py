"""Checkpoints and folders that `make faults` found a way in with; each is refused in a line."""

import io
import json
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.networks import load_model
from asyrp.networks.convert.convert import convert
from asyrp.networks.convert.detect import detect
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.released_directions import to_direction
from asyrp.storage.untrusted.tensors import read_checkpoint
from conftest import tiny_unet
from originals import Ddpm, ddpm_weights

# original checkpoints


def legacy(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def grown(content: bytes) -> bytes:
    """The shape (7, 3) in the pickle becomes (700000, 3), beyond the 21 values that are stored."""
    assert content.count(b"K\x07K\x03\x86") == 1
    return content.replace(b"K\x07K\x03\x86", b"J" + struct.pack("<i", 700_000) + b"K\x03\x86")


def doubled() -> bytes:
    """40 times `codecs.encode(..., "hex")`: a byte becomes a terabyte."""
    call = b"c_codecs\nencode\n"
    return (
        b"\x80\x02" + call * 40 + b"X\x01\x00\x00\x00a" + b"X\x03\x00\x00\x00hex\x86R" * 40 + b"."
    )


def of_itself() -> bytes:
    """A list that holds itself 3,000 times, and so on to any depth."""
    return b"\x80\x02]q\x00(" + b"h\x00" * 3000 + b"e."


def hashed_for_years() -> bytes:
    """A dict whose key is a tuple of twice a tuple of twice a tuple, 200 deep."""
    deeper = b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(200))
    return b"\x80\x02})q\x00" + deeper + b"K\x01s."


def alike(keys: int) -> bytes:
    """A dict of numbers that Python hashes to 0, so that each is compared with all before it."""
    return (
        b"\x80\x02}("
        + b"".join(
            b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(1, keys)
        )
        + b"u."
    )


def alike_tuples(keys: int) -> bytes:
    """The same with tuples as keys."""
    return b"\x80\x02}(" + b"K\x01K\x02\x86N" * keys + b"u."


PARTS = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
MAGIC = [pickle.dumps(part, 2) for part in PARTS]
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "larger than stored": (
        lambda: grown(legacy({"x": torch.zeros(7, 3)})),
        "would become|cut short",
    ),
    "a byte doubled": (
        lambda: b"".join([*MAGIC, doubled(), pickle.dumps([], 2)]),
        "asks to run _codecs.encode",
    ),
    "a list of itself": (
        lambda: b"".join([*MAGIC, of_itself(), pickle.dumps([], 2)]),
        "no network",
    ),
    "a key hashed for years": (
        lambda: b"".join([*MAGIC, hashed_for_years(), pickle.dumps([], 2)]),
        "far too long to read",
    ),
    "keys of one hash": (
        lambda: b"".join([*MAGIC, alike(60_000), pickle.dumps([], 2)]),
        "far too long to read",
    ),
    "tuples as keys": (
        lambda: b"".join([*MAGIC, alike_tuples(60_000), pickle.dumps([], 2)]),
        "far too long to read",
    ),
    "a long text": (lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.", "cut short"),
    "endless": (lambda: b"\x80\x02" + b"N" * 5_000_000 + b".", "cut short"),
    "views": (
        lambda: legacy({f"{i}": torch.zeros(9999).half().view(99, 101) for i in range(1)}
                       | dict.fromkeys(map(str, range(99)), torch.zeros(9999).half())),
        "would become",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_pickles_that_grow_are_refused(tmp_path: Path, name: str) -> None:
    make, reason = HOSTILE[name]
    path = tmp_path / "a.pth"
    path.write_bytes(make())
    begun = time.perf_counter()
    with pytest.raises(AsyrpError, match=reason):
        detect(read_checkpoint(path), "a")
    assert time.perf_counter() - begun < 10


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"down.0.block.99999999.conv1.weight": torch.zeros(1)}, "as many parts"),
        ({"down.0.block." + "9" * 5000 + ".conv1.weight": torch.zeros(1)}, "as many parts"),
        ({"down.0.block.999.conv1.weight": torch.zeros(1)}, "levels of 1000 blocks"),
        ({"temb.dense.0.weight": torch.zeros(3)}, r"has the shape \(3,\)"),
        ({"conv_in.weight": torch.tensor(1.0)}, r"has the shape \(\)"),
        ({"conv_out.bias": torch.zeros(3).to(torch.complex64)}, "'conv_out.bias' is complex64"),
        ({"conv_out.bias": torch.zeros(0)}, r"'conv_out.bias' is float32 of shape \(0,\)"),
        ({"conv_out.bias": torch.zeros(3, dtype=torch.int64)}, "'conv_out.bias' is int64"),
    ],
)
def test_networks_that_no_one_could_build_are_refused(
    changes: dict[str, Tensor], reason: str
) -> None:
    found = detect({**ddpm_weights(Ddpm()), **changes}, "a")
    with pytest.raises(AsyrpError, match=reason):
        convert(found, Hyperparameters(heads=1))


def test_a_network_of_twelve_levels_is_refused() -> None:
    """It would be proved on pictures of 4,096 pixels."""
    net = Ddpm(mult=(1,) * 12, attends=(False,) * 12)
    with pytest.raises(AsyrpError, match="12 levels of 1 blocks"):
        convert(detect(ddpm_weights(net), "a"), Hyperparameters(heads=1))


def test_a_released_direction_with_flat_weights_is_refused(model: HSpaceUNet) -> None:
    names = {"conv1": (9, 9, 1, 1), "norm2": (9,), "conv2": (9, 9, 1, 1), "temb_proj": (9,)}
    tensors = {f"{name}.weight": torch.zeros(shape) for name, shape in names.items()}
    tensors |= {f"{name}.bias": torch.zeros(9) for name in names}
    with pytest.raises(AsyrpError, match="are not those of one f_t"):
        to_direction(detect(tensors, "a"))


# folders


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layers_per_block": 10**6}, "layers_per_block of .* must be at most 64"),
        ({"block_out_channels": [8, 30_000]}, "asks for .* values, and its weights have"),
        ({"block_out_channels": [8] * 99}, "has 99 entries"),
        ({"sample_size": 100_000}, "sample_size of .* must be at most 1,024"),
        ({"sample_size": None}, "needed sample_size"),
        ({"sample_size": [16]}, "needed sample_size"),
        ({"norm_eps": 10**400}, "norm_eps of .* must be at most"),
        ({"norm_eps": [1e-5]}, r"norm_eps of .* must be a number; it is \[1e-05\]"),
        ({"freq_shift": None}, "freq_shift of .* must be a number; it is None"),
        ({"mid_block_scale_factor": "1"}, "mid_block_scale_factor of .* must be a number"),
        ({"downsample_padding": 0.5}, "downsample_padding of .* must be an integer; it is 0.5"),
        ({"downsample_padding": -1}, "downsample_padding of .* must be 0 or more"),
        ({"norm_num_groups": 0}, "norm_num_groups of .* must be 1 or more"),
        ({"norm_num_groups": -1}, "norm_num_groups of .* must be 1 or more"),
        ({"attn_norm_num_groups": -1}, "attn_norm_num_groups of .* must be 1 or more"),
        ({"down_block_types": "DownBlock2D"}, "does not load as a UNet2DModel"),
        (
            {"quantization_config": {"quant_method": "x"}},
            "quantization_config = .* before quantising",
        ),
    ],
)
def test_a_config_is_checked_before_memory_is_taken(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    tiny_unet().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(AsyrpError, match=reason):
        load_model(str(tmp_path))

"""Every file of a stranger goes through one package, and none of it is run."""

import ast
import io
import json
import multiprocessing
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPConfig, Dinov2Config, SegformerConfig

from asyrp.errors import AsyrpError
from asyrp.networks import load_model
from asyrp.scorers.clip import load_clip
from asyrp.scorers.lpips import load_lpips
from asyrp.scorers.preprocessing import view_of
from asyrp.scorers.segmentation import load_segmenter
from asyrp.scorers.vision import load_vision
from asyrp.storage.files import header_of
from asyrp.storage.image_sources import Item, Skipped, stream
from asyrp.storage.images import read_image
from asyrp.storage.untrusted import bounds
from asyrp.storage.untrusted.configs import check_config, check_values
from asyrp.storage.untrusted.pictures import open_picture, webp_size
from asyrp.storage.untrusted.tensors import open_safetensors
from tiny_folders import (
    save_clip,
    save_segmenter,
    save_stable_diffusion,
    save_vision,
    small_vision,
    tiny_condition_unet,
)

FORK = multiprocessing.get_context("fork")
SOURCE = Path(__file__).parents[2] / "src" / "asyrp"
OPENERS = {
    "safe_open",
    "load_file",
    "torch.load",
    "Image.open",
    "np.load",
    "numpy.load",
    "lmdb.open",
    "sqlite3.connect",
    "runtime.InferenceSession",
    "pickle.load",
    "json.load",
    "torch.jit.load",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "yaml.load",
    "mmap.mmap",
}
# What is no stranger's: drawn a moment before, or kept by this package in a folder of its own.
OWN = {
    ("avatars.py", "Image.open"),
    ("masks.py", "Image.open"),
    ("pictures.py", "np.load"),
}


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Every call in the source, with its dotted name."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path, node, ast.unparse(node.func)


def test_files_are_opened_in_one_package_only() -> None:
    found = {(path.name, name) for path, _, name in calls()
             if name in OPENERS and path.parent.name != "untrusted"}  # fmt: skip
    assert found == OWN
    texts = [ast.unparse(call) for _, call, name in calls() if name.startswith("json.load")]
    assert not [text for text in texts if "read_text" in text or "open(" in text]


def test_nobody_else_imports_what_opens_them() -> None:
    """Under another name the calls would not be seen."""
    for path in SOURCE.rglob("*.py"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and path.parent.name != "untrusted"
            for alias in node.names
        }
        assert not names & {"safe_open", "load_file", "lmdb", "mmap"}, path


def test_every_from_pretrained_says_that_no_code_is_trusted() -> None:
    sites = {"from_pretrained": 0, "from_config": 0}
    for path, call, name in calls():
        method = name.rpartition(".")[2]
        keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
        auto = path.stem == "pretrained" and method == "from_config"
        if method == "from_pretrained" or auto:
            sites[method] += 1
            assert keywords.get("trust_remote_code") == "False", f"{path}:{call.lineno}"
        assert keywords.get("trust_remote_code", "False") == "False", f"{path}:{call.lineno}"
    assert min(sites.values()) > 0


# code that comes with a network


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "encoder": (save_clip, load_clip),
    "vision": (save_vision, load_vision),
    "segmenter": (save_segmenter, load_segmenter),
}
CODE = """
import pathlib
pathlib.Path({canary!r}).write_text("ran")
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
class Config(PretrainedConfig):
    model_type = "strange"
class Model(PreTrainedModel):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
AUTO = {
    "AutoConfig": "code.Config",
    "AutoModel": "code.Model",
    "AutoModelForSemanticSegmentation": "code.Model",
    "AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"],
}


def answering(read: Callable[[Path], object], folder: Path, log: Path) -> None:
    """Load with yes on standard input, and keep what is said."""
    ours, theirs = os.pipe()
    os.write(theirs, b"y\n" * 20)
    os.dup2(ours, 0)
    sys.stdin = os.fdopen(0)
    with log.open("w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        try:
            read(folder)
        except AsyrpError as error:
            print(error)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("where", ["config.json", "tokenizer_config.json"])
def test_the_python_of_a_folder_is_never_run_whatever_is_answered(
    tmp_path: Path, name: str, where: str
) -> None:
    """In a process of its own, whose every question is answered with yes."""
    make, read = READERS[name]
    folder, canary = make(tmp_path / "net"), tmp_path / "canary"
    (folder / "code.py").write_text(CODE.format(canary=str(canary)))
    path = folder / where
    config = json.loads(path.read_text()) if path.is_file() else {}
    changes: dict[str, Any] = {"auto_map": AUTO}
    changes |= {"model_type": "strange"} if where == "config.json" else {"tokenizer_class": "X"}
    path.write_text(json.dumps(config | changes))
    process = FORK.Process(target=answering, args=(read, folder, tmp_path / "said"))
    process.start()
    process.join(120)
    assert not canary.exists()
    said = (tmp_path / "said").read_text()
    assert "[y/N]" not in said
    if where == "config.json":
        assert re.search(r"does not load \((The repository|Loading)", said)


@pytest.mark.parametrize("name", READERS)
def test_a_program_of_the_hub_is_not_fetched_for_a_config(tmp_path: Path, name: str) -> None:
    make, read = READERS[name]
    changed(make(tmp_path / "net") / "config.json", attn_implementation="somebody/attention")
    with pytest.raises(AsyrpError, match="names a program to fetch"):
        read(tmp_path / "net")


# configs that ask for more than there is


def changed(path: Path, **changes: Any) -> None:
    config = json.loads(path.read_text())
    for name, value in changes.items():
        part, _, inner = name.partition("__")
        (config[part] if inner else config)[inner or part] = value
    path.write_text(json.dumps(config))


LARGE = {
    ("encoder", "text_config__hidden_size"): 12_000,
    ("encoder", "vision_config__intermediate_size"): 900_000,
    ("encoder", "text_config__vocab_size"): 900_000,
    ("encoder", "projection_dim"): 900_000,
    ("encoder", "text_config__num_hidden_layers"): 1_000,
    ("encoder", "text_config"): {"text_config": {"text_config": {"hidden_size": 10**9}}},
    ("vision", "hidden_size"): 12_000,
    ("vision", "mlp_ratio"): 200_000,
    ("vision", "num_hidden_layers"): 200_000,
    ("vision", "label2id"): {"a": 10**9},
    ("vision", "num_labels"): 10**9,
    ("segmenter", "decoder_hidden_size"): 12_000,
    ("segmenter", "hidden_sizes"): [8, 30_000],
    ("segmenter", "depths"): [1, 200_000],
    ("segmenter", "num_encoder_blocks"): 10**12,
}


@pytest.mark.parametrize(("name", "key"), LARGE)
def test_an_encoder_is_as_large_as_its_weights(tmp_path: Path, name: str, key: str) -> None:
    """It was some 6 GB for 36 kB; no allocation of the network may even begin."""
    make, read = READERS[name]
    changed(make(tmp_path / "net") / "config.json", **{key: LARGE[name, key]})
    begun = time.process_time()
    reason = "asks for .* values, and its weights have|must be at most|nested too deeply"
    with pytest.raises(AsyrpError, match=reason):
        read(tmp_path / "net")
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("name", READERS)
def test_an_encoder_that_is_what_it_says_is_read(tmp_path: Path, name: str) -> None:
    make, read = READERS[name]
    assert read(make(tmp_path / "net")) is not None


def test_pickled_weights_of_an_encoder_are_looked_at_as_well(tmp_path: Path) -> None:
    folder = save_vision(tmp_path / "net")
    (folder / "model.safetensors").unlink()
    torch.save(small_vision().state_dict(), folder / "pytorch_model.bin")
    assert load_vision(folder).name == str(folder)
    torch.save({"x": nn.ReLU()}, folder / "pytorch_model.bin")
    with pytest.raises(AsyrpError, match="asks to run"):
        load_vision(folder)


def test_weights_of_a_variant_are_counted_and_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They counted as none: a large encoder was refused for them, and their pickle not read."""
    monkeypatch.setattr(bounds, "SLACK", 0)
    folder = save_vision(tmp_path / "net")
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.warns(UserWarning, match="the variant 'fp16' alone"):
        assert load_vision(folder).name == str(folder)
    (folder / "model.fp16.safetensors").unlink()
    torch.save({"x": nn.ReLU()}, folder / "pytorch_model.fp16.bin")
    with pytest.raises(AsyrpError, match="asks to run"):
        load_vision(folder)


NESTED = {
    "transformer_layers_per_block": [[200_000], 1],
    "reverse_transformer_layers_per_block": [[[200_000]], [1]],
    "layers_per_block": [1, 200_000],
    "attention_head_dim": [[[[[[[[[[1]]]]]]]]]],
    "block_out_channels": [8, [10**9]],
    "cross_attention_dim": {"a": {"b": 1e308}},
}


@pytest.mark.parametrize("name", NESTED)
def test_numbers_within_lists_of_a_config_are_bound(tmp_path: Path, name: str) -> None:
    save_stable_diffusion(tmp_path)
    changed(tmp_path / "unet" / "config.json", **{name: NESTED[name]})
    with pytest.raises(AsyrpError, match="must be at most|nested too deeply"):
        load_model(str(tmp_path))


def test_many_blocks_stop_before_they_are_built(tmp_path: Path) -> None:
    """64 layers of 64 transformers at each of 16 levels: every number is allowed, and too much."""
    many = dict.fromkeys(("layers_per_block", "transformer_layers_per_block"), 64)
    names = {"down_block_types": ("CrossAttnDownBlock2D",) * 16}
    names |= {"up_block_types": ("CrossAttnUpBlock2D",) * 16}
    begun = time.process_time()
    with pytest.raises(AsyrpError, match="asks for far more values"):
        check_values(
            lambda: tiny_condition_unet(**many, **names, block_out_channels=(8,) * 16), 10**9, "x"
        )
    assert time.process_time() - begun < 20


class Wide(nn.Module):
    """Parts without a parameter, a few at a time."""

    def __init__(self, parts: int, buffers: int) -> None:
        super().__init__()
        for i in range(parts):
            self.add_module(f"m{i}", nn.Identity())
        for i in range(buffers):
            self.register_buffer(f"b{i}", torch.zeros(1000))


@pytest.mark.parametrize("sizes", [(bounds.MOST_MODULES + 1, 0), (0, bounds.MOST_TENSORS + 1)])
def test_parts_without_values_count_as_well(sizes: tuple[int, int]) -> None:
    with pytest.raises(AsyrpError, match="far more values"):
        check_values(lambda: Wide(*sizes), 10**9, "x")
    check_values(lambda: Wide(10, 10), 10_000, "x")


def test_what_another_thread_builds_meanwhile_is_not_counted() -> None:
    import threading

    def build() -> nn.Module:
        other = threading.Thread(target=lambda: nn.Linear(2000, 2000))
        other.start()
        other.join()
        return nn.Linear(2, 2)

    check_values(build, 6, "x")
    with pytest.raises(AsyrpError, match="asks for far more"):
        check_values(lambda: nn.Linear(2000, 2000), 6, "x")


@pytest.mark.parametrize("sizes", [{"size": 10**9}, {"crop_size": 10**9}, {"size": -3}, {"size": 0},
                                   {"size": {"height": 1e308, "width": 5}}, {"size": "224"},
                                   {"size": 2000}, {"crop_size": [[3]]}])  # fmt: skip
def test_a_processor_asks_for_no_pictures_beyond_measure(sizes: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError, match="not known here"):
        view_of(sizes, 224)


def test_the_configs_of_real_encoders_pass() -> None:
    for config in (CLIPConfig(), Dinov2Config(), SegformerConfig()):
        check_config(config.to_dict(), "x", bounds.MOST_NAMES)


# weights


def test_weights_of_a_distance_are_looked_at_first(tmp_path: Path) -> None:
    """A pickle of 860 bytes whose `bytearray` would take as much memory as it says."""
    path = tmp_path / "a.pth"
    call = b"c__builtin__\nbytearray\n\x8a\x05" + (7 * 10**9).to_bytes(5, "little") + b"\x85R"
    magic = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    path.write_bytes(magic + b"\x80\x02}X\x01\x00\x00\x00x" + call + b"s.\x80\x02].")
    with pytest.raises(AsyrpError, match="was not opened: it asks to run __builtin__.bytearray"):
        load_lpips(path=path)


def test_a_header_beyond_measure_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b"{")
        file.truncate(100_000_000)
    with pytest.raises(SafetensorError, match="HeaderTooLarge: 90,000,000"):
        open_safetensors(path)
    with pytest.raises(AsyrpError, match="HeaderTooLarge"):
        header_of(path)
    save_file({"x": torch.zeros(1)}, path, {"a": "b"})
    assert header_of(path) == {"a": "b"}


# pictures


def animated(width: int, height: int) -> bytes:
    """A WebP of a few bytes whose canvas has any size."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (1, 1), color) for color in ("red", "blue")]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    data = bytearray(buffer.getvalue())
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def simple_webp(size: tuple[int, int], lossless: bool) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "green").save(buffer, "WEBP", lossless=lossless)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [(16384, 16384), (16383, 16383), (2**24, 256), (8001, 8000)])
def test_a_webp_is_measured_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    path = tmp_path / "a.webp"
    path.write_bytes(animated(*size))
    monkeypatch.setattr(Image, "open", lambda *a, **k: pytest.fail("its decoder took memory"))
    with pytest.raises(
        AsyrpError, match=f"at most 64,000,000 pixels; .* has {size[0] * size[1]:,}"
    ):
        read_image(path, (16, 16))
    (found,) = stream([Item("a", path.read_bytes(), {})], (16, 16))
    assert isinstance(found, Skipped)
    assert "at most 64,000,000 pixels" in found.reason


@pytest.mark.parametrize("size", [(1, 1), (37, 5), (300, 1000), (16383, 2)])
def test_the_size_of_a_webp_is_read_off_its_header(size: tuple[int, int]) -> None:
    assert webp_size(animated(*size)[:32]) == size
    for lossless in (True, False):
        data = simple_webp(size, lossless)
        assert data[12:16] == (b"VP8L" if lossless else b"VP8 ")
        assert webp_size(data[:32]) == size
    assert webp_size(b"\x89PNG" + bytes(40)) == (0, 0)
    assert webp_size(b"RIFF") == (0, 0)


def scanned(count: int) -> bytes:
    """A progressive JPEG with one of its scans many times over."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


@pytest.mark.parametrize("place", ["a.jpg", b"bytes"])
def test_a_jpeg_of_a_thousand_scans_is_refused(tmp_path: Path, place: Any) -> None:
    for count, refused in ((3, False), (5000, True)):
        source: Any = io.BytesIO(scanned(count))
        if isinstance(place, str):
            source = tmp_path / place
            source.write_bytes(scanned(count))
        if refused:
            with pytest.raises(AsyrpError, match="times over"):
                open_picture(source)
        else:
            with open_picture(source) as opened:
                assert opened.size == (64, 64)


def test_a_scan_across_two_blocks_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyrp.storage.untrusted.pictures.CHUNK", 7)
    with pytest.raises(AsyrpError, match="times over"):
        open_picture(io.BytesIO(scanned(200)))

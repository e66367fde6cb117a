"""Networks of the user's through the commands: precisions, classes, sizes that do not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import asyrp
from asyrp import AsyrpError, load_model
from asyrp.cli import main
from asyrp.method.direction_file import read_card
from asyrp.method.schedule import linear
from conftest import noise, tiny_unet
from converted import FOLDER, assert_bit_for_bit, converted, write_original
from originals import Adm, Ddpm, adm_weights, ddpm_weights
from places import results
from tiny_folders import save_clip, save_ldm

TRAIN = ["--source", "face", "--target", "smiling face", "--t-start", "999", "--t-edit", "300"]
TRAIN += ["--t-boost", "0", "--train.steps", "4", "--train.epochs", "1", "--validation", "0"]
TRAIN += ["--encoder", "avatars-64-clip", "--distance", "st-lpips-alex"]
QUICK = ["--refinements", "0"]


def photos(folder: Path, side: int = 16) -> Path:
    folder.mkdir()
    values = np.random.default_rng(2).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    for i, value in enumerate(values):
        Image.fromarray(value).save(folder / f"{i}.png")
    return folder


def run(*words: object) -> int:
    return main([str(word) for word in words])


def tame(unet: Any) -> Any:
    """The walk of a random network as it is leaves [-1, 1] by far."""
    with torch.no_grad():
        for weight in unet.conv_out.parameters():
            weight.mul_(0.005)
    return unet


def train_and_edit(network: list[object], tmp_path: Path) -> Path:
    """invert, train and edit on two pictures; the folder of edits."""
    images = photos(tmp_path / "photos")
    few = [*network, "--steps", 4, *QUICK, "--images", images]
    out = tmp_path / "f.safetensors"
    assert run("invert", *few, "--out", tmp_path / "inverted") == 0
    words = [*network, *QUICK, "--images", images, *TRAIN]
    assert run("train", *words, "--out", out) == 0
    words = [*few, "--direction", out, "--t-boost", 200]
    assert run("edit", *words, "--out", tmp_path / "edited") == 0
    assert results(tmp_path / "edited") == ["0.png", "1.png", "run.json"]
    return tmp_path / "edited"


def test_bfloat16_inverts_trains_and_edits(tmp_path: Path) -> None:
    tame(tiny_unet()).save_pretrained(tmp_path / "net")
    edited = train_and_edit(["--model", tmp_path / "net", "--dtype", "bfloat16"], tmp_path)
    card = read_card(tmp_path / "f.safetensors")
    assert card.fingerprint == load_model(tmp_path / "net").fingerprint()
    assert np.isfinite(json.loads((edited / "run.json").read_text())["reconstruction_mse"]["0.png"])


def test_bfloat16_comes_close_to_float32(tmp_path: Path) -> None:
    tiny_unet().save_pretrained(tmp_path / "net")
    full, half = (load_model(tmp_path / "net", dtype=kind) for kind in ("float32", "bfloat16"))
    x = noise(2, 3, 16, 16)
    with torch.no_grad():
        wanted, got = full(x, 500), half(x, 500)
    assert got.dtype == torch.float32
    assert half.unet.dtype == torch.bfloat16
    assert 0 < (got - wanted).abs().max() < 0.05 * wanted.abs().max()


def class_conditional(tmp_path: Path) -> Path:
    """An ADM of seven classes, converted by the command; its folder."""
    weights = adm_weights(Adm(classes=7))
    for kind in ("weight", "bias"):
        weights[f"out.2.{kind}"] *= 0.005
    said = {"num_head_channels": 16, "image_size": 16, "class_cond": True}
    file = write_original(tmp_path / "net.pt", weights, **said)
    words = ["--config", file.with_suffix(".json"), "--out", tmp_path / "net"]
    assert run("convert", file, *words) == 0
    return tmp_path / "net"


def test_a_class_for_all_images_makes_a_conditional_network_editable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = class_conditional(tmp_path)
    train_and_edit(["--model", net, "--class-label", 3], tmp_path)
    capsys.readouterr()
    words = ["--model", net, "--steps", 4, "--images", tmp_path / "photos"]
    assert run("invert", *words, "--out", tmp_path / "without") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert "--class-label N" in line
    assert not (tmp_path / "without").exists()


@torch.no_grad()
def test_the_class_is_the_one_asked_for_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    net = class_conditional(tmp_path)
    plain, third = load_model(net), load_model(net, class_label=3)
    x, labels = noise(2, 3, 16, 16), torch.tensor([3, 3])
    assert torch.equal(third(x, 500), plain(x, 500, labels))
    assert not torch.equal(third(x, 500), load_model(net, class_label=4)(x, 500))
    assert torch.equal(third(x, 500, labels + 1), plain(x, 500, labels + 1))
    prints = {m.fingerprint() for m in (plain, third, load_model(net, class_label=4))}
    assert len(prints) == 3
    half = load_model(net, class_label=3, dtype="bfloat16")
    assert half.fingerprint() == third.fingerprint()


@pytest.mark.parametrize("label", [-1, 7])
def test_classes_that_it_does_not_have(label: int, tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match=rf"lies in 0\.\.6; got class_label {label}"):
        load_model(class_conditional(tmp_path), class_label=label)


def test_networks_without_classes_take_none(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match="takes no class"):
        load_model("avatars-64", class_label=0)
    with pytest.raises(AsyrpError, match="takes no class"):
        load_model(save_ldm(tmp_path / "ldm"), class_label=0)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (None, "needed sample_size, the pixels of an image"),
        (18, "sample_size 18 does not divide by 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_when_it_is_loaded(
    size: int | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = {"down_block_types": ("DownBlock2D",) * 3, "up_block_types": ("UpBlock2D",) * 3}
    tiny_unet(sample_size=size, block_out_channels=(8, 8, 16), **blocks).save_pretrained(
        tmp_path / "net"
    )
    images = photos(tmp_path / "photos")
    words = ["--model", tmp_path / "net", "--images", images, "--out", tmp_path / "out"]
    assert run("invert", *words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_an_original_file_without_heads_says_how_to_convert_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_original(tmp_path / "net.pt", adm_weights(Adm()))
    assert run("sample", "--model", file, "--count", 1, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "to asyrp convert, and use the folder that it makes" in line
    assert not (tmp_path / "out").exists()


def test_guides_that_cannot_be_had_fail_before_the_inversion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    tame(tiny_unet()).save_pretrained(tmp_path / "net")
    images, clip = photos(tmp_path / "photos"), save_clip(tmp_path / "clip")
    texts = ["--source", "face", "--target", "smiling face", "--encoder", clip]
    words = ["--model", tmp_path / "net", "--images", images, *texts]
    for command, name in (("train", "f.safetensors"), ("intervals", "found")):
        for distance, message in (
            ("lpips-alex", "needed the weights of lpips-alex, and this is offline"),
            ("st-lpips-alex", "st-lpips-alex cannot compare the pictures of this network"),
        ):
            out = ["--distance", distance, "--out", tmp_path / name]
            assert run(command, *words, *out) == 2
            told = capsys.readouterr().err
            assert message in told.strip().splitlines()[-1]
            assert "inverting" not in told
            assert not (tmp_path / name).exists()


def test_evaluate_asks_for_its_networks_before_it_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    images = photos(tmp_path / "photos", 64)
    words = ["--images", images, "--edits", tmp_path / "absent", "--out", tmp_path / "out"]
    assert run("evaluate", *words, "--judge", "none", "--distance", "lpips-alex") == 2
    assert "needed the weights of lpips-alex" in capsys.readouterr().err
    assert run("evaluate", *words, "--device", "cuda:9") == 2
    assert "no device 'cuda:9' here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_models_help_names_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["edit", "--help"])
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for kind in ("avatars-64", "celeba-hq-p2", "original DDPM or ADM checkpoint", "#sha256=HEX"):
        assert kind in told


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_inspect_takes_original_files(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYRP_CACHE", str(tmp_path / "cache"))
    file, weights = tmp_path / f"net{suffix}", ddpm_weights(Ddpm())
    torch.save(weights, file) if suffix == ".pt" else save_file(weights, file)
    assert run("inspect", file) == 0
    told = capsys.readouterr().out
    assert asyrp.load_model(file).fingerprint() in told
    assert "(64, 8, 8)" in told
    block = load_file(FOLDER / "ddpm.direction.safetensors")
    torch.save({"0": block}, tmp_path / "f.pth")
    assert run("inspect", tmp_path / "f.pth") == 2
    assert "turn it into a direction file with asyrp convert" in capsys.readouterr().err


def test_a_file_that_does_not_exist_is_not_looked_for_on_the_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("sample", "--model", "models/celeba_hq.ckpt", "--out", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert "needed a checkpoint file; 'models/celeba_hq.ckpt' does not exist" in told


def test_back_without_a_record_says_what_it_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = class_conditional(tmp_path)
    capsys.readouterr()
    assert run("convert", net, "--back", "--out", tmp_path / "told.pt") == 0
    assert "assumed" not in capsys.readouterr().out
    (net / "conversion.json").unlink()
    assert run("convert", net, "--back", "--out", tmp_path / "back.pt") == 0
    assert "assumed            rows of q, k, v in the legacy order" in capsys.readouterr().out
    paths = (tmp_path / f"{name}.pt" for name in ("told", "back"))
    assert_bit_for_bit(*(torch.load(path, weights_only=True) for path in paths))


def test_a_proof_of_values_that_are_no_numbers_fails() -> None:
    weights = adm_weights(Adm())
    for key, value in weights.items():
        if key.startswith("out."):
            weights[key] = torch.full_like(value, 3e38)  # finite, and inf - inf behind
    with pytest.raises(AsyrpError, match="differs from the original by inf"):
        converted(weights, "adm", num_head_channels=16)


def test_a_missing_scheduler_is_told(tmp_path: Path) -> None:
    tiny_unet().save_pretrained(tmp_path / "bare")
    with pytest.warns(UserWarning, match="has no scheduler_config.json: linear betas and epsilon"):
        model = load_model(str(tmp_path / "bare"))
    assert model.schedule == linear()

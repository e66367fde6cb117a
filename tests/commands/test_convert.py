"""asyrp convert and load_model on files that are right, wrong, broken or hostile."""

import hashlib
import io
import json
import os
import socket
import urllib.error
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

import asyrp
from asyrp.cli import main
from asyrp.commands.downloads import shown_downloads
from asyrp.networks import latent_pipeline as latent
from asyrp.networks import presets
from asyrp.networks.convert import adm
from asyrp.networks.convert.convert import CONFIG, RECORD, SCHEDULER, WEIGHTS
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.runtime import download as fetch
from conftest import tiny_unet
from converted import FOLDER, assert_bit_for_bit, write_original
from originals import Adm, Ddpm, adm_weights, ddpm_weights

HEADS = {"num_head_channels": 16, "image_size": 32}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and no network."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setenv("ASYRP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ASYRP_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "cache"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return write_original(tmp_path / "net.pt", adm_weights(Adm()), **HEADS)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command says when it ends with exit code 2."""
    before = tree(Path(words[words.index("--out") + 1]).parent)
    assert main(["convert", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("asyrp: ")
    assert tree(Path(words[words.index("--out") + 1]).parent) == before
    return lines[0]


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_what_the_command_says_and_writes(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(net.with_suffix(".json"))
    assert main(["convert", str(net), "--out", str(tmp_path / "out"), "--config", config]) == 0
    told = capsys.readouterr().out
    assert "largest difference" in told
    assert "assumed            rows of q, k, v in the legacy order" in told
    assert "assumed            T = 1000 timesteps" in told
    assert "pictures of" not in told
    files = {CONFIG, WEIGHTS, SCHEDULER, RECORD}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["sha256"] == hashlib.sha256(net.read_bytes()).hexdigest()
    assert 0 < record["largest_difference"] < 1e-5


@pytest.mark.parametrize("name", ["back.safetensors", "back.pt", "back.ckpt"])
def test_back_bit_for_bit(net: Path, name: str, tmp_path: Path) -> None:
    config, out, back = net.with_suffix(".json"), tmp_path / "out", tmp_path / name
    main(["convert", str(net), "--out", str(out), "--config", str(config)])
    assert main(["convert", str(out), "--back", "--out", str(back)]) == 0
    read = load_file if back.suffix == ".safetensors" else partial(torch.load, weights_only=True)
    assert_bit_for_bit(read(back), adm_weights(Adm()))


@pytest.mark.parametrize("name", ["ddpm", "adm", "iddpm"])
def test_official_files_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    unet, config = FOLDER / f"{name}.unet.safetensors", FOLDER / f"{name}.json"
    out, back = tmp_path / "out", tmp_path / "back.safetensors"
    main(["convert", str(unet), "--out", str(out), "--config", str(config)])
    main(["convert", str(out), "--back", "--out", str(back)])
    assert_bit_for_bit(load_file(back), load_file(unet))


def test_other_folders_go_back_too(tmp_path: Path) -> None:
    original = write_original(tmp_path / "net.pt", ddpm_weights(Ddpm()))
    main(["convert", str(original), "--out", str(tmp_path / "out")])
    (tmp_path / "out" / RECORD).unlink()
    back = tmp_path / "back.safetensors"
    assert main(["convert", str(tmp_path / "out"), "--back", "--out", str(back)]) == 0
    assert_bit_for_bit(load_file(back), ddpm_weights(Ddpm()))


def test_networks_of_diffusers_own_have_no_way_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_unet().save_pretrained(tmp_path / "tiny")
    back = tmp_path / "out" / "back.pt"
    back.parent.mkdir()
    assert "no original form" in refused(
        capsys, str(tmp_path / "tiny"), "--back", "--out", str(back)
    )


def test_converting_twice_replaces_and_other_folders_stay(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(net), "--config", str(net.with_suffix(".json")), "--out"]
    assert main(["convert", *words, str(tmp_path / "out")]) == 0
    assert main(["convert", *words, str(tmp_path / "out")]) == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    (tmp_path / "mine" / "full").mkdir(parents=True)
    (tmp_path / "mine" / "full" / "notes.txt").write_text("mine")
    capsys.readouterr()
    assert "something else" in refused(capsys, *words, str(tmp_path / "mine" / "full"))
    assert (tmp_path / "mine" / "full" / "notes.txt").read_text() == "mine"
    (tmp_path / "out" / "notes.txt").write_text("mine")  # beside a network of ours
    assert "something else" in refused(capsys, *words, str(tmp_path / "out"))
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


class Grow:
    """A pickle of a few bytes that asks for ten gigabytes when it is opened."""

    def __reduce__(self) -> Any:
        return bytearray, (10**10,)


class Touch:
    """A pickle that makes a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def hostile(folder: Path) -> dict[str, Path]:
    """Files that must not be opened, by kind."""
    weights, files = ddpm_weights(Ddpm()), {}
    for name, old in (("code", False), ("old code", True)):
        files[name] = folder / f"{name}.pt"
        content = {**weights, "step": Touch(folder / "touched")}
        torch.save(content, files[name], _use_new_zipfile_serialization=not old)
    files["grows"] = folder / "grows.pt"
    torch.save({**weights, "step": Grow()}, files["grows"])
    files["bomb"] = folder / "bomb.pt"
    torch.save(weights, folder / "whole.pt")
    with (
        zipfile.ZipFile(folder / "whole.pt") as whole,
        zipfile.ZipFile(files["bomb"], "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in whole.namelist():
            bomb.writestr(entry, whole.read(entry))
        bomb.writestr("archive/data/999", bytes(50_000_000))
    files["stretched"] = folder / "stretched.pt"
    stretched = torch.ones(1).expand(30_000, 30_000)
    torch.save({**weights, "conv_in.bias": stretched}, files["stretched"])
    for name, old in (("cut", False), ("old cut", True)):
        files[name] = folder / f"{name}.pt"
        torch.save(weights, files[name], _use_new_zipfile_serialization=not old)
        data = files[name].read_bytes()
        files[name].write_bytes(data[: len(data) // 2])
    files["cut tensors"] = folder / "cut.safetensors"
    save_file(weights, files["cut tensors"])
    files["cut tensors"].write_bytes(files["cut tensors"].read_bytes()[:-100])
    for name, data in {"page": b"<html>404</html>", "empty": b"", "half": b"PK\x03\x04"}.items():
        files[name] = folder / f"{name}.pt"
        files[name].write_bytes(data)
    return files


SAID = {
    "code": "was not opened: it asks to run",
    "old code": "was not opened: it asks to run",
    "grows": "was not opened: it asks to run __builtin__.bytearray",
    "bomb": "would unpack to",
    "stretched": "claims 900,000,000 values and stores 4 bytes",
    "cut": "cut short or damaged",
    "old cut": "cut short or damaged",
    "cut tensors": "no whole safetensors file",
    "page": "neither a safetensors file nor a torch checkpoint",
    "empty": "neither a safetensors file nor a torch checkpoint",
    "half": "cut short or damaged",
}


@pytest.mark.parametrize("name", SAID)
def test_hostile_and_broken_files(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = hostile(tmp_path)[name]
    assert SAID[name] in refused(capsys, str(file), "--out", str(tmp_path / "out"))
    with pytest.raises(asyrp.AsyrpError, match=SAID[name].replace("(", r"\(")):
        asyrp.load_model(file)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["whole", "old"])
def test_both_formats_of_torch_are_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.ckpt"
    torch.save(ddpm_weights(Ddpm()), file, _use_new_zipfile_serialization=name == "whole")
    assert main(["convert", str(file), "--out", str(tmp_path / "out")]) == 0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": torch.ones(2)}, "no network or direction of a known family"),
        (
            {"model.diffusion_model.x": torch.ones(1), "first_stage_model.y": torch.ones(1)},
            "latent",
        ),
        ({"all_modules.0.W": torch.ones(2)}, "score-SDE"),
        ({"time_embedding.linear_1.weight": torch.ones(2, 2)}, "already a diffusers network"),
        ({"input_blocks.0.0.weight": torch.ones(2)}, "lacks its time embedding"),
    ],
)
def test_other_families_are_named(
    weights: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_original(tmp_path / "other.pt", weights)
    assert message in refused(capsys, str(file), "--out", str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "{}/net.safetensors"], "a network becomes a folder"),
        (["--out", "{}/x", "--preset", "afhq-dog"], "channels = 128"),
        (["--out", "{}/x", "--preset", "celeba"], "unknown preset 'celeba'"),
        (["--out", "{}/x", "--config", "{}/absent.json"], "not readable JSON"),
        (["--out", "{}/x"], "number of attention heads"),
        (["--out", "{}/x.bin", "--back"], "must be a .safetensors or .pt"),
        (["--out", "{}/x.pt", "--back"], "is not a safetensors file"),
    ],
)
def test_options_that_do_not_fit(
    words: list[str], message: str, net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    words = [word.format(tmp_path / "here") for word in words]
    assert message in refused(capsys, str(net), *words)


def test_nothing_is_written_where_the_proof_fails(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adm, "split", lambda qkv, heads, new_order: qkv.chunk(3))
    words = [str(net), "--out", str(tmp_path / "out"), "--config", str(net.with_suffix(".json"))]
    assert "differs from the original" in refused(capsys, *words)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_urls_are_checked(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{net.as_uri()}#sha256={digest(net)}"
    model = asyrp.load_model(url, config=HEADS)
    assert model.fingerprint() == asyrp.load_model(net, config=HEADS).fingerprint()
    wrong = f"{net.as_uri()}#sha256={'0' * 64}"
    said = refused(capsys, wrong, "--out", str(tmp_path / "out"))
    assert f"sha256 {'0' * 64} was needed, {digest(net)} came" in said
    for bad in (net.as_uri(), f"{net.as_uri()}#sha256=12", f"{net.as_uri()}#md5sum={'0' * 32}"):
        with pytest.raises(asyrp.AsyrpError, match="needs the SHA-256"):
            asyrp.load_model(bad)


class Answer(io.BytesIO):
    """An https answer."""

    def __init__(self, data: bytes, url: str = "https://example.org/net.pt", length: int = -1):
        super().__init__(data)
        self.url, self.headers = url, {"Content-Length": str(len(data) if length < 0 else length)}

    def geturl(self) -> str:
        return self.url


def serve(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[str]:
    """Answer https requests one by one; the URLs that were asked for."""
    asked: list[str] = []
    left = iter(answers)

    def urlopen(request: Any, timeout: float) -> Any:
        asked.append(request.full_url)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setenv("ASYRP_OFFLINE", "0")
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked


URL = "https://example.org/net.pt"


def test_https_downloads_once_and_then_works_offline(
    net: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, Answer(net.read_bytes()))
    spec = f"{URL}#sha256={digest(net)}"
    first = asyrp.load_model(spec, config=HEADS).fingerprint()
    assert asked == [URL]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert asyrp.load_model(spec, config=HEADS).fingerprint() == first
    assert len(list((cache / "converted").iterdir())) == 1


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("length", ["known", "unknown"])
def test_a_download_shows_its_bytes_on_a_terminal_only(
    length: str, terminal: bool, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Answer(net.read_bytes())
    if length == "unknown":
        answer.headers = {}
    serve(monkeypatch, answer)
    seen = io.StringIO()
    monkeypatch.setattr(seen, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", seen)
    with shown_downloads():
        asyrp.load_model(f"{URL}#sha256={digest(net)}", config=HEADS)
    told = seen.getvalue()
    assert ("downloading net.pt" in told) == terminal
    assert ("100%" in told) == (terminal and length == "known")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda data: Answer(b"other"), "is not the one asked for"),
        (lambda data: Answer(data, "http://example.org/net.pt"), "leads away from https"),
        (lambda data: Answer(data[:-9], length=len(data)), "broke off after"),
        (lambda data: urllib.error.URLError("no route"), "cannot be fetched.*no route"),
        (lambda data: TimeoutError("timed out"), "cannot be fetched"),
    ],
)
def test_downloads_that_fail_leave_nothing(
    answer: Any, message: str, net: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, answer(net.read_bytes()))
    with pytest.raises(asyrp.AsyrpError, match=message):
        asyrp.load_model(f"{URL}#sha256={digest(net)}", config=HEADS)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_odd_urls_are_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, UnicodeEncodeError("ascii", "модель", 0, 6, "ordinal not in range"))
    with pytest.raises(asyrp.AsyrpError, match="cannot be fetched"):
        asyrp.load_model(f"https://example.org/модель.ckpt#sha256={'0' * 64}")
    with pytest.raises(asyrp.AsyrpError, match="is no URL"):
        asyrp.load_model(f"https://[abc#sha256={'0' * 64}")


def test_passwords_of_urls_are_not_shown() -> None:
    with pytest.raises(asyrp.AsyrpError, match="no user and password") as refused:
        asyrp.load_model(f"https://me:secret@example.org/x.ckpt#sha256={'0' * 64}")
    assert "secret" not in str(refused.value)


def test_other_schemes_are_refused() -> None:
    for scheme in ("http", "ftp", "s3"):
        with pytest.raises(asyrp.AsyrpError, match="needed an https or file URL"):
            asyrp.load_model(f"{scheme}://example.org/x#sha256={'0' * 64}")


@pytest.mark.parametrize("name", ["ASYRP_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("spec", ["celeba-hq", "ffhq", "owner/absent", f"{URL}#sha256={'0' * 64}"])
def test_offline_mode_never_touches_the_network(
    name: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASYRP_OFFLINE")
    monkeypatch.setenv(name, "1")
    with pytest.raises(asyrp.AsyrpError, match="offline mode is on"):
        asyrp.load_model(spec)


def hub(tmp_path: Path, repository: str) -> Path:
    """An empty repository in the Hub's own cache."""
    root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("a" * 40)
    folder = root / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("place", [".", "unet"])
def test_hub_repositories_from_the_cache(safe: bool, place: str, tmp_path: Path) -> None:
    unet, folder = tiny_unet(), hub(tmp_path, "owner/tiny") / place
    unet.save_pretrained(folder, safe_serialization=safe)
    model = asyrp.load_model("owner/tiny")
    for key, value in unet.state_dict().items():
        assert torch.equal(model.unet.state_dict()[key], value)


def test_pickles_of_a_folder_are_not_executed(tmp_path: Path) -> None:
    unet, folder = tiny_unet(), tmp_path / "tiny"
    unet.save_config(folder)
    state = {**unet.state_dict(), "more": Touch(tmp_path / "touched")}
    torch.save(state, folder / "diffusion_pytorch_model.bin")
    with pytest.raises(asyrp.AsyrpError, match="asks to run"):
        asyrp.load_model(folder)
    assert not (tmp_path / "touched").exists()


def test_folders_whose_weights_do_not_fit_are_refused(tmp_path: Path) -> None:
    unet = tiny_unet()
    unet.save_pretrained(tmp_path / "tiny")
    state = unet.state_dict()
    state.pop("conv_out.bias")
    save_file(state, tmp_path / "tiny" / WEIGHTS, {"format": "pt"})
    with pytest.raises(asyrp.AsyrpError, match=r"1 tensors are missing .*conv_out.bias"):
        asyrp.load_model(tmp_path / "tiny")


def small_ddpm() -> dict[str, torch.Tensor]:
    """In place of the 450 MB of the paper's DDPM; its preset is narrowed to fit."""
    return ddpm_weights(Ddpm())


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset celeba-hq with a small network."""
    old = presets.PRESETS["celeba-hq"]
    network = old.network._replace(said=Hyperparameters(image_size=32, channels=32))
    monkeypatch.setitem(presets.PRESETS, "celeba-hq", old._replace(network=network))


@pytest.mark.usefixtures("narrow")
def test_a_preset_takes_a_file_put_into_the_cache(cache: Path) -> None:
    (cache / "originals").mkdir(parents=True)
    torch.save(small_ddpm(), cache / "originals" / "celeba_hq.ckpt")
    assert asyrp.load_model("celeba-hq").image_shape == (3, 32, 32)


@pytest.mark.usefixtures("narrow")
def test_a_dead_source_is_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_original(tmp_path / "net.ckpt", small_ddpm())
    asked: list[str] = []

    def absent(place: str) -> Path:
        asked.append(place)
        raise asyrp.AsyrpError("the mirror is gone")

    monkeypatch.setattr("asyrp.networks.resolve.hub_file", absent)
    serve(monkeypatch, Answer(file.read_bytes()))
    assert asyrp.load_model("celeba-hq").image_shape == (3, 32, 32)
    assert asked == ["gwang-kim/DiffusionCLIP-CelebA_HQ/celeba_hq.ckpt"]


@pytest.mark.usefixtures("narrow")
def test_a_page_in_place_of_a_file_does_not_stay_in_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_original(tmp_path / "net.ckpt", small_ddpm())

    def absent(place: str) -> Path:
        raise asyrp.AsyrpError("the mirror is gone")

    monkeypatch.setattr("asyrp.networks.resolve.hub_file", absent)
    monkeypatch.setattr("asyrp.networks.resolve.hub_folder", absent)
    pages = [Answer(b"<!DOCTYPE html>too many downloads") for _ in range(2)]
    serve(monkeypatch, *pages, Answer(file.read_bytes()))
    with pytest.raises(asyrp.AsyrpError, match="gave no checkpoint but something that begins"):
        asyrp.load_model("celeba-hq")
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert asyrp.load_model("celeba-hq").image_shape == (3, 32, 32)


@pytest.mark.usefixtures("narrow")
def test_other_weights_of_a_preset_come_with_a_warning(tmp_path: Path) -> None:
    tiny_unet().save_pretrained(hub(tmp_path, "google/ddpm-ema-celebahq-256"))
    with pytest.warns(UserWarning, match="google/ddpm-ema-celebahq-256: other weights"):
        asyrp.load_model("celeba-hq")


def test_presets_that_fail_say_what_to_do() -> None:
    with pytest.raises(asyrp.AsyrpError) as caught:
        asyrp.load_model("celeba-hq-p2")
    assert "get celebahq_p2.pt (by hand from https://1drv.ms" in str(caught.value)
    assert "originals" in str(caught.value)


def test_hub_ids_reach_the_latent_loader_online(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(fetch.cache_folder())) / "pipeline"
    tiny_unet().save_pretrained(folder)
    monkeypatch.setenv("ASYRP_OFFLINE", "0")
    monkeypatch.setattr(latent, "download", lambda spec: folder)
    assert asyrp.load_model("owner/latent").image_shape == (3, 16, 16)


def test_a_state_dict_among_other_entries(tmp_path: Path) -> None:
    content = {"state_dict": OrderedDict(small_ddpm()), "epoch": 3, "loss": [0.1, 0.2]}
    file = tmp_path / "net.ckpt"
    torch.save(content, file)
    assert asyrp.load_model(file).h_channels == 64


OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def test_hub_networks_of_2022_with_old_names_of_attention(tmp_path: Path) -> None:
    blocks = {
        "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
    }
    unet, folder = tiny_unet(**blocks), tmp_path / "net"
    unet.save_pretrained(folder)
    state = {}
    for key, value in unet.state_dict().items():
        for new, old in OLD_NAMES.items():
            key = key.replace(f".{new}.", f".{old}.")
        state[key] = value
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    assert_bit_for_bit(asyrp.load_model(folder).unet.state_dict(), unet.state_dict())

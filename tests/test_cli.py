"""The command line: every command end to end, and one line for every bad input."""

import errno
import functools
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import asyrp
from asyrp.checkpoints import load_model
from asyrp.cli import main
from asyrp.direction_files import DirectionCard, load_direction, read_card, save_direction
from asyrp.directions import GlobalDirection, ImplicitDirection
from asyrp.latent_files import load_latents
from asyrp.options import COMMANDS
from asyrp.train import _Run
from asyrp.world.avatars import FACTORS, draw, sample_face

FEW = ["--steps", "4"]
cached_model = functools.cache(load_model)


@dataclass(frozen=True)
class Place:
    """What the commands work on: a folder of two faces, a direction, and an empty folder."""

    faces: Path
    direction: Path
    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("resvg_py")
    folder = tmp_path_factory.mktemp("shared")
    for name, count in (("faces", 2), ("four", 4)):
        (folder / name).mkdir()
        for index in range(count):
            face = Image.fromarray(draw(sample_face("test", index)))
            face.save(folder / name / f"face{index}.png")
    model = cached_model("avatars-64")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        f_t = ImplicitDirection(model.h_channels, model.emb_channels, zero_init=False)
        f_t.conv_out.weight.data *= 30
    card = DirectionCard("face", "odd face", 400, 200, 4, model.fingerprint(), "none")
    save_direction(folder / "odd.safetensors", f_t, card)
    return folder


@pytest.fixture
def place(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    def load(spec: str, device: str = "cpu", dtype: str = "float32", **more: Any) -> Any:
        return cached_model(spec, device, dtype, **more)

    monkeypatch.setattr("asyrp.commands.common.load_model", load)
    return Place(shared / "faces", shared / "odd.safetensors", tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _denormals() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)  # the commands turn it on for their process


def call(*argv: object) -> int:
    try:
        return main([str(word) for word in argv])
    except SystemExit as done:
        return int(done.code or 0)


def tree(*folders: Path) -> dict[Path, bytes]:
    files = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return {path: path.read_bytes() if path.is_file() else b"" for path in files}


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


# --help


def modules_after(*lines: str) -> set[str]:
    """Top-level modules that a fresh Python has imported after some lines."""
    code = ["import sys", *lines, "print('|', *{name.split('.')[0] for name in sys.modules})"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("|")[2].split())


HEAVY = {"torch", "diffusers", "transformers", "numpy", "PIL", "matplotlib", "scipy", "gradio"}


def test_help_of_every_command_imports_nothing_heavy() -> None:
    loaded = modules_after(
        "from asyrp.cli import main, COMMANDS",
        "for words in ([], *([name] for name in COMMANDS)):",
        "    try: main([*words, '--help'])",
        "    except SystemExit as done: assert not done.code",
    )
    assert "tyro" in loaded
    assert not loaded & HEAVY


def test_the_installed_command_shows_help() -> None:
    script = Path(sys.executable).with_name("asyrp")
    for command in ([str(script)], [sys.executable, "-m", "asyrp"]):
        done = subprocess.run([*command, "train", "--help"], capture_output=True, text=True)
        assert done.returncode == 0
        assert "--train.learning-rate" in done.stdout
        assert "Find the direction from one text to another" in done.stdout


def test_every_option_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        assert call(name, "--help") == 0
        shown = capsys.readouterr().out
        assert "usage: asyrp" in shown
        words = shown.replace("│", " ").split("\n")
        for line, following in zip(words, [*words[1:], ""], strict=True):
            if line.strip().startswith("--"):
                assert (line + following).count("  ") > 1, line


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out == f"asyrp {asyrp.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ([], "subcommand"),
        (["paint"], "paint"),
        (["edit", "--images", "a", "--out", "b", "--colour", "red"], "--colour"),
        (["edit", "--images", "a"], "--out"),
        (["edit", "--images", "a", "--out", "b", "--steps", "many"], "many"),
        (["edit", "--images", "a", "--out", "b", "--dtype", "float16"], "float16"),
    ],
)
def test_options_that_do_not_exist_exit_with_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], named: str
) -> None:
    assert call(*argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert named in said.err
    assert len(said.err.splitlines()) < 20


# bad input: exit code 2, one line, nothing written

Words = Callable[[Place], Sequence[object]]


def edit_of(p: Place, *more: object) -> Sequence[object]:
    return ["edit", "--images", p.faces, "--direction", p.direction, "--out", p.out, *FEW, *more]


def train_of(p: Place, *more: object) -> Sequence[object]:
    out = p.root / "new.safetensors"
    texts = ["--source", "face", "--target", "smiling face"]
    return ["train", "--images", p.faces, *texts, "--out", out, *more]


def image_in(p: Place, content: bytes | Image.Image | None, name: str = "a.png") -> Path:
    """A folder with one good face and one file of another content; None: an empty folder."""
    folder = p.root / "images"
    folder.mkdir(exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(folder / name)
    elif content is not None:
        (folder / name).write_bytes(content)
    if content is not None:
        (folder / "good.png").write_bytes((p.faces / "face0.png").read_bytes())
    return folder


def file_at(p: Place, content: bytes = b"text") -> Path:
    path = p.root / "file.safetensors"
    path.write_bytes(content)
    return path


def foreign(p: Place) -> Path:
    """A direction of another network with the same shapes."""
    path = p.root / "foreign.safetensors"
    card = DirectionCard("face", "other face", 400, 200, 4, "0" * 64)
    save_direction(path, GlobalDirection(torch.zeros(128, 8, 8)), card)
    return path


def safetensors_at(p: Place) -> Path:
    save_file({"x": torch.zeros(2)}, p.root / "weights.safetensors")
    return p.root / "weights.safetensors"


def edit_images(p: Place, images: Path) -> Sequence[object]:
    return ["edit", "--images", images, "--direction", p.direction, "--out", p.out, *FEW]


def edit_direction(p: Place, direction: object) -> Sequence[object]:
    return ["edit", "--images", p.faces, "--direction", direction, "--out", p.out, *FEW]


BAD: Mapping[str, tuple[Words, str]] = {
    "no images": (lambda p: edit_images(p, image_in(p, None)), "at least one image"),
    "no folder": (lambda p: edit_images(p, p.root / "none"), "none' does not exist"),
    "a broken image": (lambda p: edit_images(p, image_in(p, b"\x89PNG")), "not a readable image"),
    "a 1-pixel image": (
        lambda p: edit_images(p, image_in(p, Image.new("RGB", (1, 1)))),
        "at least 8 pixels wide and high; .* is 1 x 1; remove it",
    ),
    "two images of one name": (
        lambda p: edit_images(p, image_in(p, Image.new("RGB", (9, 9)), "good.jpg")),
        "would share a name",
    ),
    "no direction": (
        lambda p: ["edit", "--images", p.faces, "--out", p.out],
        "needed at least one --direction .*train one: asyrp train",
    ),
    "a missing direction": (
        lambda p: edit_direction(p, p.root / "x.safetensors"),
        "needed a direction file; .*x.safetensors' does not exist",
    ),
    "a strength in words": (lambda p: edit_direction(p, "x:much"), "number for STRENGTH"),
    "a strength that is no number": (
        lambda p: edit_direction(p, f"{p.direction}:nan"),
        "the strength of a direction is a number; got nan",
    ),
    "a corrupt direction": (
        lambda p: edit_direction(p, file_at(p, p.direction.read_bytes()[:9000])),
        "not a safetensors file or is cut short .*asyrp train",
    ),
    "a text as direction": (lambda p: edit_direction(p, file_at(p)), "not a safetensors file"),
    "other weights as direction": (
        lambda p: edit_direction(p, safetensors_at(p)),
        "not an asyrp direction; make one with: asyrp train",
    ),
    "a foreign direction": (
        lambda p: edit_direction(p, foreign(p)),
        "was trained on another network .*force it at your own risk",
    ),
    "an unknown model": (
        lambda p: edit_of(p, "--model", "avatars-65"),
        "unknown model 'avatars-65'; needed: a built-in name",
    ),
    "a folder that is no model": (lambda p: edit_of(p, "--model", p.root), "diffusers"),
    "an unknown device": (lambda p: edit_of(p, "--device", "abacus"), "no device 'abacus' here"),
    "t_boost above t_edit": (
        lambda p: edit_of(p, "--t-boost", 401),
        "t_boost 401 > t_edit 400; lower t_boost or raise t_edit",
    ),
    "t_edit below t_boost": (lambda p: edit_of(p, "--t-edit", 100), "t_boost 200 > t_edit 100"),
    "t_start below t_edit": (
        lambda p: edit_of(p, "--t-start", 399),
        "t_start 399 < t_edit 400; raise t_start or lower t_edit",
    ),
    "one step": (lambda p: edit_of(p, "--steps", 1), "must lie in 2..1000; got 1"),
    "too many steps": (lambda p: edit_of(p, "--steps", 1001), "must lie in 2..1000; got 1001"),
    "no batch": (lambda p: edit_of(p, "--batch-size", 0), "batch_size must be 1 or more"),
    "fewer than no refinements": (
        lambda p: edit_of(p, "--refinements", -1),
        "refinements must be 0 or more",
    ),
    "a file as output": (
        lambda p: edit_of(p, "--out", file_at(p)),
        "needed a folder for the results; .*file.safetensors' is a file",
    ),
    "a file on the way to the output": (
        lambda p: edit_of(p, "--out", file_at(p) / "deep"),
        "needed a folder for the results; .*file.safetensors' is a file",
    ),
    "the inputs as output": (
        lambda p: ["invert", "--images", p.faces, "--out", p.faces, *FEW],
        "holds the inputs; give another folder with --out",
    ),
    "the input's folder as output": (
        lambda p: ["invert", "--images", p.faces / "face0.png", "--out", p.faces, *FEW],
        "holds the inputs; give another folder with --out",
    ),
    "invert: no images": (
        lambda p: ["invert", "--images", image_in(p, None), "--out", p.out],
        "at least one image",
    ),
    "sample: none": (lambda p: ["sample", "--count", 0, "--out", p.out], "must be 1 or more"),
    "sample: one step": (lambda p: ["sample", "--steps", 1, "--out", p.out], "lie in 2..1000"),
    "sample: a file as output": (lambda p: ["sample", "--out", file_at(p)], "is a file"),
    "intervals: an empty text": (
        lambda p: ["intervals", "--images", p.faces, "--source", "face", "--target", "", "--out",
                   p.out],
        "the target text is empty",
    ),
    "train: an empty source": (lambda p: train_of(p, "--source", ""), "the source text is empty"),
    "train: a blank target": (lambda p: train_of(p, "--target", " "), "the target text is empty"),
    "train: unknown words only": (
        lambda p: train_of(p, "--target", "xyzzy plugh"),
        "knows no word of 'xyzzy plugh' .* such as",
    ),
    "train: a text that changes nothing": (
        lambda p: train_of(p, "--target", "face"),
        "'face' and 'face' mean the same",
    ),
    "train: no images": (
        lambda p: train_of(p, "--images", image_in(p, None)),
        "at least one image",
    ),
    "train: a broken image": (
        lambda p: train_of(p, "--images", image_in(p, b"\x89PNG")),
        "not a readable image",
    ),
    "train: images and samples": (lambda p: train_of(p, "--random", 4), "either --images DIR or"),
    "train: fewer than no samples": (
        lambda p: [*train_of(p)[:1], *train_of(p)[3:], "--random", -2],
        "--random and --validation must be 0 or more",
    ),
    "train: another suffix": (
        lambda p: train_of(p, "--out", p.root / "new.pth"),
        "must be a .safetensors file",
    ),
    "train: no folder": (
        lambda p: train_of(p, "--out", p.root / "none" / "new.safetensors"),
        "the folder of --out must exist",
    ),
    "train: t_boost above t_edit": (
        lambda p: train_of(p, "--t-edit", 300, "--t-boost", 301),
        "t_boost 301 > t_edit 300",
    ),
    "train: t_start below t_edit": (
        lambda p: train_of(p, "--t-edit", 300, "--t-start", 299),
        "t_start 299 < t_edit 300",
    ),
    "train: an unknown encoder": (
        lambda p: train_of(p, "--encoder", "clap"),
        "unknown encoder 'clap'",
    ),
    "inspect: an unknown name": (lambda p: ["inspect", "nothing"], "unknown model 'nothing'"),
    "inspect: a text": (lambda p: ["inspect", file_at(p)], "not a safetensors file"),
    "inspect: other weights": (
        lambda p: ["inspect", safetensors_at(p)],
        "not an asyrp direction",
    ),
    "demo: an unknown value": (
        lambda p: ["demo", "--out", p.out, "--value", "bored"],
        "mouth has no value 'bored'",
    ),
    "demo: no faces": (
        lambda p: ["demo", "--out", p.out, "--test-faces", 0],
        "must be 1 or more",
    ),
    "world: no faces": (lambda p: ["world", "draw", "--out", p.out, "--count", 0], "1 or more"),
}  # fmt: skip


def assert_refused(place: Place, argv: Sequence[object], pattern: str, capsys: Any) -> None:
    before = tree(place.root, place.faces.parent)
    capsys.readouterr()
    assert call(*argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("asyrp: ")
    assert re.search(pattern, said.err), said.err
    assert tree(place.root, place.faces.parent) == before


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words, pattern = BAD[name]
    assert_refused(place, words(place), pattern, capsys)


@pytest.mark.parametrize("setting", ["--train.epochs", "--train.batch-size", "--train.patience"])
def test_settings_that_cannot_be_exit_with_2(
    place: Place, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    assert call(*train_of(place, setting, 0)) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "must be 1 or more; got 0" in said
    assert tree(place.root) == {}


@pytest.mark.parametrize("command", ["edit", "invert", "sample", "intervals"])
def test_a_read_only_folder_is_refused_before_the_work(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """Simulated, since the superuser may write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != place.root)
    words = {
        "edit": edit_of(place),
        "invert": ["invert", "--images", place.faces, "--out", place.out],
        "sample": ["sample", "--out", place.out],
        "intervals": ["intervals", "--images", place.faces, "--source", "face", "--target",
                      "sad face", "--out", place.out],
    }  # fmt: skip
    assert_refused(place, words[command], "cannot be written: .* is read-only", capsys)


# a full disk


def assert_full_disk(place: Place, argv: Sequence[object], capsys: Any) -> None:
    before = tree(place.root)
    assert call(*argv) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("asyrp: No space left on device")
    assert sum(line.startswith("asyrp:") for line in err) == 1
    assert tree(place.root) == before


@pytest.mark.parametrize("command", ["edit", "invert", "sample"])
def test_no_space_for_the_second_picture_leaves_nothing(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    save, saved = Image.Image.save, []

    def full(self: Image.Image, path: Path, *rest: Any, **more: Any) -> None:
        saved.append(path)
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, path, *rest, **more)

    monkeypatch.setattr(Image.Image, "save", full)
    words = {
        "edit": edit_of(place),
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW],
        "sample": ["sample", "--out", place.out, "--count", 2, "--steps", 2],
    }
    assert_full_disk(place, words[command], capsys)
    assert len(saved) == 2


QUICK = ["--train.steps", 6, "--train.epochs", 1, "--train.batch-size", 1]
QUICK += ["--t-start", 999, "--t-edit", 700, "--t-boost", 100, "--strength", 1]
QUICK += ["--validation", 0, "--refinements", 0]


@pytest.mark.parametrize("command", ["invert", "train"])
def test_no_space_for_tensors_leaves_nothing(
    place: Place,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    def full(tensors: Any, path: Path, header: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: ... (os error 28)")

    monkeypatch.setattr("asyrp.files.save_file", full)
    words = {
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW],
        "train": train_of(place, *QUICK),
    }
    assert_full_disk(place, words[command], capsys)


# the commands, end to end


def test_invert_writes_latents_reconstructions_and_the_record(place: Place) -> None:
    assert call("invert", "--images", place.faces, "--out", place.out, *FEW) == 0
    names = ["face0.png", "face1.png"]
    written = sorted(path.name for path in place.out.iterdir())
    assert written == [*names, "latents.safetensors", "run.json"]
    latents = load_latents(place.out / "latents.safetensors")
    assert latents.x.shape == (2, 3, 64, 64)
    assert (latents.names, latents.steps) == (tuple(names), 4)
    run = json.loads((place.out / "run.json").read_text())
    assert run["reconstruction_mse"] == dict(zip(names, latents.errors, strict=True))
    assert run["network"]["fingerprint"] == latents.fingerprint
    assert run["versions"]["torch"] == torch.__version__
    worst = max(latents.errors)
    for name, error in zip(names, latents.errors, strict=True):
        before = picture(place.faces / name).astype(float)
        after = picture(place.out / name).astype(float)
        mse = ((before - after) ** 2).mean() / 127.5**2
        assert mse == pytest.approx(error, abs=0.02 * worst)  # clipped to 0..255


def test_edit_writes_a_picture_an_input(place: Place) -> None:
    assert call(*edit_of(place)) == 0
    assert sorted(p.name for p in place.out.glob("*.png")) == ["face0.png", "face1.png"]
    run = json.loads((place.out / "run.json").read_text())
    assert run["directions"] == [asdict(read_card(place.direction))]
    assert run["t_boost"] == 200
    with Image.open(place.out / "face0.png") as edited:
        assert "face -> odd face" in edited.text["Edit"]
        assert "asyrp" in edited.text["Software"]
        assert edited.size == (64, 64)


def test_strength_zero_is_the_reconstruction_and_batches_do_not_matter(place: Place) -> None:
    still = ["--strength", 0, "--t-boost", 0]
    assert call("invert", "--images", place.faces, "--out", place.root / "plain", *FEW) == 0
    assert call(*edit_of(place, *still)) == 0
    assert call(*edit_of(place, "--out", place.root / "one", "--batch-size", 1, *still)) == 0
    assert call(*edit_of(place, "--out", place.root / "more")) == 0
    for i in range(2):
        plain = picture(place.root / "plain" / f"face{i}.png")
        assert np.array_equal(picture(place.out / f"face{i}.png"), plain)
        one = picture(place.root / "one" / f"face{i}.png").astype(int)
        assert abs(one - plain).max() <= 1
        assert abs(picture(place.root / "more" / f"face{i}.png").astype(int) - plain).max() > 20


def test_strengths_multiply(place: Place) -> None:
    a = edit_direction(place, f"{place.direction}:-0.5")
    assert call(*a, "--strength", 0.5) == 0
    b = [*edit_direction(place, place.direction), "--strength", -0.25]
    assert call(*b, "--out", place.root / "b") == 0
    for i in range(2):
        ours, theirs = (picture(f / f"face{i}.png") for f in (place.out, place.root / "b"))
        assert np.array_equal(ours, theirs)


def argv_of(options: Mapping[str, Any]) -> list[str]:
    """The command line that gives the options of a run.json."""
    words = []
    for key, value in options.items():
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            words += argv_of(value)
        elif isinstance(value, bool):
            words.append(name if value else name.replace("--", "--no-"))
        elif isinstance(value, list):
            words += [word for item in value for word in (name, str(item))]
        elif value is not None:
            words += [name, str(value)]
    return words


@pytest.mark.parametrize("command", ["edit", "sample", "invert"])
def test_the_record_repeats_the_run(place: Place, command: str) -> None:
    words = {
        "edit": edit_of(place, "--seed", 5, "--strength", 0.7, "--t-boost", 350),
        "sample": ["sample", "--out", place.out, "--count", 2, *FEW, "--direction",
                   f"{place.direction}:0.5", "--seed", 9],
        "invert": ["invert", "--images", place.faces, "--out", place.out, *FEW, "--convention",
                   "target", "--refinements", 0],
    }  # fmt: skip
    assert call(*words[command]) == 0
    first = tree(place.out)
    run = json.loads((place.out / "run.json").read_text())
    assert run["command"] == command
    for path in first:
        path.unlink()
    assert call(command, *argv_of(run["options"])) == 0
    second = tree(place.out)
    latents = place.out / "latents.safetensors"
    if latents in first:  # the order of a safetensors header is not fixed
        assert len(first.pop(latents)) == len(second.pop(latents))
    assert first == second


def test_sample_writes_samples_and_a_sheet(place: Place) -> None:
    assert call("sample", "--out", place.out, "--count", 3, *FEW, "--seed", 1) == 0
    names = ["0000.png", "0001.png", "0002.png", "run.json", "sheet.png"]
    assert sorted(path.name for path in place.out.iterdir()) == names
    assert picture(place.out / "sheet.png").shape == (68, 3 * 68, 3)
    assert call("sample", "--out", place.root / "b", "--count", 2, *FEW, "--seed", 1) == 0
    first = (picture(folder / "0001.png").astype(int) for folder in (place.out, place.root / "b"))
    assert abs(np.subtract(*first)).max() <= 1


def test_inspect_says_what_a_thing_is(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("invert", "--images", place.faces, "--out", place.out, *FEW) == 0
    capsys.readouterr()
    facts = {}
    for what in (place.direction, place.out / "latents.safetensors", "avatars-64"):
        assert call("inspect", what) == 0
        said = capsys.readouterr()
        assert said.err == ""
        facts[str(what)] = dict(line.split(None, 1) for line in said.out.splitlines() if line)
    direction, latents, network = facts.values()
    assert direction["target"] == "odd face"
    assert direction["t_edit"] == "400"
    assert latents["latents"] == "2 of shape (3, 64, 64)"
    assert network["h"] == "(128, 8, 8)"
    assert direction["fingerprint"] == latents["fingerprint"] == network["fingerprint"]


def test_inspect_names_what_is_wrong_with_latents(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    header = {"format": "asyrp-latents", "version": "9"}
    save_file({"x": torch.zeros(2)}, place.root / "a.safetensors", header)
    assert_refused(place, ["inspect", place.root / "a.safetensors"], "format version 9", capsys)


def test_intervals_writes_the_curves(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["--source", "face", "--target", "smiling face"]
    limits = ["--threshold-edit", 0.05, "--threshold-boost", 0.3]
    words = ["intervals", "--images", place.faces, *texts, "--out", place.out, "--steps", 6]
    assert call(*words, *limits) == 0
    found = json.loads((place.out / "intervals.json").read_text())
    assert found["times"] == [0, 199, 399, 599, 799, 999]
    assert found["t_start"] >= found["t_edit"]["t"] >= found["t_boost"]["t"]
    assert found["t_edit"]["t"] in found["times"]
    assert found["thresholds"]["edit"] == 0.05
    assert len(found["x0"]) == len(found["xt"]) == 6
    assert found["distance"] == "st-lpips-alex"
    assert picture(place.out / "curves.png").shape[2] in (3, 4)
    assert f"t_edit {found['t_edit']['t']} " in capsys.readouterr().err


def test_a_threshold_that_is_never_reached_says_what_to_do(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["intervals", "--images", place.faces, "--source", "face", "--target", "sad face"]
    assert call(*words, "--out", place.out, "--steps", 4, "--threshold-edit", 9) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("asyrp: no t_edit: the threshold ")
    assert "is never reached" in last
    assert not place.out.exists()


def test_unknown_words_are_named_in_a_warning_of_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["intervals", "--images", place.faces, "--source", "face", "--target"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert call(*words, "smilling wizard", "--out", place.out, "--steps", 1) == 2
        assert call(*words, "smiling wizard", "--out", place.out, "--steps", 1) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("asyrp: avatars-64-clip knows no word of 'smilling wizard'")
    assert "smiling" in lines[0]
    warned = [line for line in lines if line.startswith("asyrp: warning: ")]
    assert len(warned) == 1
    assert "of 'smiling wizard' out: wizard; words it knows include" in warned[0]


def test_train_on_samples(place: Place) -> None:
    out = place.root / "new.safetensors"
    words = ["train", "--source", "face", "--target", "smiling face", "--out", out]
    assert call(*words, "--random", 4, *QUICK, "--validation", 1) == 0
    assert list(place.root.iterdir()) == [out]
    saved = load_direction(out, cached_model("avatars-64"))
    card = saved.card
    assert (card.source, card.target, card.trained_steps) == ("face", "smiling face", 6)
    assert (card.t_start, card.t_edit, card.t_boost) == (999, 700, 100)
    assert card.encoder == "avatars-64-clip"
    assert card.training["images"] == 3
    assert card.training["held_out"] == 1
    assert card.training["learning_rate"] > 0
    assert float(saved.direction.conv_out.weight.abs().max()) > 0
    assert call("edit", "--images", place.faces, "--direction", out, "--out", place.out, *FEW) == 0


def test_train_on_images_finds_the_phases_and_shows_previews(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    previews = ["--previews", place.root / "previews", "--train.validate-every", 1]
    quick = ["--train.epochs", 1, "--train.batch-size", 3, "--train.steps", 20]
    quick += ["--images", place.faces.with_name("four"), "--refinements", 0]
    assert call(*train_of(place, *quick, *previews)) == 0
    card = read_card(place.root / "new.safetensors")
    assert 999 >= (card.t_start or 999) >= card.t_edit >= card.t_boost > 0
    assert f"t_edit {card.t_edit} " in capsys.readouterr().err
    assert picture(place.root / "previews" / "latest.png").ndim == 3
    assert not list(place.root.glob("*checkpoint*"))


def test_a_training_that_was_stopped_continues(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = train_of(place, *QUICK)
    whole = place.root / "whole.safetensors"
    assert call(*words, "--out", whole) == 0
    train_batch = _Run.train_batch

    def stopping(self: _Run, sources: Any, rows: Any, batch: int, batches: int) -> Any:
        if batch == 1:
            raise KeyboardInterrupt
        return train_batch(self, sources, rows, batch, batches)

    monkeypatch.setattr(_Run, "train_batch", stopping)
    assert call(*words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "asyrp: stopped; run the same command again to continue"
    names = {path.name for path in place.root.iterdir()}
    assert names == {"whole.safetensors", "new.checkpoint.safetensors"}
    monkeypatch.undo()
    assert call(*words) == 0
    assert "continuing from" in capsys.readouterr().err
    assert {p.name for p in place.root.iterdir()} == {"whole.safetensors", "new.safetensors"}
    ours, theirs = load_file(place.root / "new.safetensors"), load_file(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_bfloat16_edits_with_a_direction_of_float32(place: Place) -> None:
    low = ["--dtype", "bfloat16", "--t-boost", 0]
    assert call(*edit_of(place, *low)) == 0
    assert call(*edit_of(place, "--t-boost", 0, "--out", place.root / "float32")) == 0
    still = ["--strength", 0, "--out", place.root / "plain"]
    assert call(*edit_of(place, "--t-boost", 0, *still)) == 0
    for i in range(2):
        rounded, exact, plain = (
            picture(folder / f"face{i}.png").astype(float)
            for folder in (place.out, place.root / "float32", place.root / "plain")
        )
        assert abs(rounded - exact).mean() < 0.25 * abs(exact - plain).mean()
    for command in (["invert", "--images", place.faces], ["sample", "--count", 1]):
        out = ["--out", place.root / command[0], "--dtype", "bfloat16"]
        assert call(*command, *out, *FEW) == 0


def test_bfloat16_trains(place: Place) -> None:
    words = ["train", "--source", "face", "--target", "smiling face", "--random", 2]
    out = place.root / "new.safetensors"
    assert call(*words, "--out", out, "--dtype", "bfloat16", *QUICK) == 0
    saved = load_direction(out, cached_model("avatars-64"))  # and serves the network in float32
    assert {p.dtype for p in saved.direction.parameters()} == {torch.float32}


def test_world_draws_faces_with_labels(place: Place) -> None:
    assert call("world", "draw", "--out", place.out, "--count", 2, "--split", "test") == 0
    labels = json.loads((place.out / "labels.json").read_text())
    for index in range(2):
        face = sample_face("test", index)
        assert np.array_equal(picture(place.out / f"0000{index}.png"), draw(face))
        assert labels[f"0000{index}"] == {factor: face.label(factor) for factor in FACTORS}

"""Outputs: tried and locked before the work; no input is replaced, and no file of others."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from asyrp.storage.files import atomic_folder
from asyrp.storage.outputs import WRITTEN, protecting
from asyrp.storage.unfinished import alone
from conftest import tiny_unet
from leftovers import FORK
from originals import Ddpm, ddpm_weights
from places import FEW, QUICK, Place, call, edit_of, results, train_of, tree


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused must be so before any network is loaded."""
    reached = pytest.fail
    monkeypatch.setattr("asyrp.commands.common.load_model", lambda *a, **k: reached("it began"))


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command is refused."""
    capsys.readouterr()
    assert call(*words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1, lines
    return lines[0]


Words = Callable[[Place], Sequence[object]]
# command -> its words, and a file that it writes into --out
FOLDERS: dict[str, tuple[Words, str]] = {
    "edit": (edit_of, "face0.png"),
    "edit by strengths": (lambda p: edit_of(p, "--strengths", 1, 2), "face1_+2.png"),
    "invert": (lambda p: ["invert", "--images", p.faces, "--out", p.out, *FEW], "run.json"),
    "sample": (lambda p: ["sample", "--count", 2, "--out", p.out, *FEW], "0001.png"),
    "intervals": (
        lambda p: ["intervals", "--images", p.faces, "--source", "face", "--target", "sad face",
                   "--out", p.out, *FEW],
        "curves.png",
    ),
    "gather": (lambda p: ["gather", "--images", p.faces, "--out", p.out], "gathered.json"),
    "align": (lambda p: ["align", p.faces, "--out", p.out], "face0.png"),
    "world draw": (lambda p: ["world", "draw", "--count", 3, "--out", p.out], "00002.png"),
    "evaluate": (
        lambda p: ["evaluate", "--images", p.faces, "--edits", p.faces, "--out", p.out],
        "table.md",
    ),
    "compare": (lambda p: ["compare", "--out", p.out], "table.csv"),
    "study": (lambda p: ["study", "theorem1", "--out", p.out], "theorem1.json"),
    "demo": (lambda p: ["demo", "--out", p.out], "report.html"),
    "find": (
        lambda p: ["find", "--by", "pca", "--images", p.faces, "--out", p.out],
        "find.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_of_the_user_s_is_kept_and_told_before_the_work(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    no_work(monkeypatch)
    words, file = FOLDERS[name]
    place.out.mkdir()
    (place.out / file).write_bytes(b"mine")
    (place.out / "notes.txt").write_bytes(b"mine too")
    before = tree(place.root)
    line = refused(capsys, *words(place))
    assert f"{str(place.out / file)!r} is not what asyrp wrote there" in line
    assert "--overwrite" in line
    assert tree(place.root) == before


def test_what_asyrp_wrote_is_replaced_until_somebody_changes_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["world", "draw", "--count", 2, "--out", place.out]
    for _ in range(2):
        assert call(*words) == 0
    (place.out / "00001.png").write_bytes(b"retouched")
    assert "00001.png" in refused(capsys, *words)
    assert (place.out / "00001.png").read_bytes() == b"retouched"
    assert call(*words, "--overwrite") == 0
    assert (place.out / "00001.png").read_bytes() != b"retouched"
    assert call(*words) == 0


def test_a_user_s_run_json_beside_the_edits_is_kept(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a review did it: 00.png and run.json of the user's own in --out."""
    assert call(*edit_of(place)) == 0
    record = place.out / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "mine": 1}))
    assert "run.json" in refused(capsys, *edit_of(place))
    assert json.loads(record.read_text())["mine"] == 1


def test_names_that_are_known_only_at_the_end_are_kept_as_well(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.out.mkdir()
    (place.out / "face1.png").write_bytes(b"mine")
    assert call("gather", "--images", place.faces, "--out", place.out) == 2
    assert "is not what asyrp wrote there" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in place.out.iterdir()} == {"face1.png": b"mine"}


def test_the_list_of_what_was_written_tells_digests(place: Place) -> None:
    assert call("world", "draw", "--count", 2, "--out", place.out) == 0
    lines = (place.out / WRITTEN).read_text().split("\n")
    told = {json.loads(line[65:]): line[:64] for line in lines if line}
    assert told.keys() == {*results(place.out)}
    for name, digest in told.items():
        assert hashlib.sha256((place.out / name).read_bytes()).hexdigest() == digest


# inputs under other names


def linked(place: Place, link: Callable[[Path, Path], None]) -> Path:
    """A folder of links as input, whose originals lie in --out."""
    shutil.copytree(place.faces, place.out)
    folder = place.root / "links"
    folder.mkdir()
    for path in place.out.iterdir():
        link(path, folder / path.name)
    return folder


@pytest.mark.parametrize("link", [lambda a, b: b.symlink_to(a), os.link])
@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_originals_behind_links_are_never_replaced(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    link: Callable[[Path, Path], None], more: Sequence[str],
) -> None:  # fmt: skip
    no_work(monkeypatch)
    folder = linked(place, link)
    before = tree(place.root)
    for words in (
        ["edit", "--direction", place.direction, "--images", folder, "--out", place.out, *FEW],
        ["invert", "--images", folder, "--out", place.out, *FEW],
        ["align", folder, "--out", place.out],
    ):
        assert "is an input, and would be replaced" in refused(capsys, *words, *more)
        assert tree(place.root) == before


def test_a_folder_of_results_by_another_name_is_the_folder_of_inputs(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place.faces, place.out)
    (place.root / "other").symlink_to(place.out)
    for images, out in ((place.out, "other"), (place.root / "other", "out")):
        words = ["--images", images, "--out", place.root / out, "--overwrite"]
        assert "holds the inputs" in refused(capsys, "invert", *words)


def test_pictures_that_a_table_names_are_inputs(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place.faces, place.out)
    table = place.root / "table.csv"
    table.write_text("file_name\nout/face0.png\nout/face1.png\n")
    (place.out / "out_face0.png").symlink_to("face0.png")
    before = tree(place.out)
    assert call("gather", "--images", table, "--out", place.out, "--overwrite") == 2
    assert "is an input, and would be replaced" in capsys.readouterr().err
    assert tree(place.out) == before


def saved_network(folder: Path) -> Path:
    tiny_unet(sample_size=64).save_pretrained(folder / "unet")
    return folder


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
@pytest.mark.parametrize("through", ["itself", "a link"])
def test_a_direction_does_not_replace_the_weights_of_its_network(
    place: Place, capsys: pytest.CaptureFixture[str], more: Sequence[str], through: str
) -> None:
    net = saved_network(place.root / "net")
    weights = net / "unet" / "diffusion_pytorch_model.safetensors"
    out = weights
    if through == "a link":
        out = place.root / "new.safetensors"
        out.symlink_to(weights)
    before = tree(place.root)
    guides = ["--encoder", "avatars-64-clip", "--distance", "st-lpips-alex", "--model", net]
    line = refused(capsys, *train_of(place, *QUICK, *guides, *more, "--out", out))
    assert "is an input, and would be replaced" in line
    assert tree(place.root) == before


def test_what_is_no_direction_is_not_replaced_by_one(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_work(monkeypatch)
    out = place.root / "new.safetensors"
    shutil.copy(saved_network(place.root / "n") / "unet/diffusion_pytorch_model.safetensors", out)
    before = out.read_bytes()
    line = refused(capsys, *train_of(place, *QUICK))
    assert "exists and holds something else" in line
    several = ["--target", "smiling face", "--target", "sad face", "--out", place.root / "d"]
    (place.root / "d").mkdir()
    shutil.copy(out, place.root / "d" / "sad-face.safetensors")
    assert "something else" in refused(capsys, *train_of(place, *QUICK, *several))
    neighbour = ["--begin-from", place.direction, "--out", place.direction]
    assert "is an input" in refused(capsys, *train_of(place, *QUICK, *neighbour))
    assert out.read_bytes() == before


def test_a_converted_file_takes_nobody_s_place(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(ddpm_weights(Ddpm()), place.root / "a.pt")
    net, back = place.root / "net", place.root / "back.safetensors"
    assert call("convert", place.root / "a.pt", "--out", net) == 0
    back.write_bytes(b"mine")
    words = ["convert", net, "--back", "--out", back]
    assert "something else" in refused(capsys, *words)
    assert back.read_bytes() == b"mine"
    assert call(*words, "--overwrite") == 0
    weights = net / "diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    line = refused(capsys, "convert", net, "--back", "--overwrite", "--out", weights)
    assert "is an input" in line
    assert weights.read_bytes() == before
    assert load_file(back).keys() == ddpm_weights(Ddpm()).keys()


def test_previews_replace_nobody_s_picture(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_work(monkeypatch)
    (place.root / "p").mkdir()
    Image.new("RGB", (9, 9)).save(place.root / "p" / "latest.png")
    words = train_of(place, *QUICK, "--previews", place.root / "p")
    assert "latest.png' is not what asyrp wrote" in refused(capsys, *words)


# one at a time, and tried first


def held(path: Path, begun: "object", go: "object") -> None:
    with alone(path, path.parent):
        begun.set()  # type: ignore[attr-defined]
        go.wait(60)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["out", "link", "OUT/../out"])
def test_two_commands_do_not_write_to_one_folder(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    no_work(monkeypatch)
    for folder in ("out", "OUT"):
        (place.root / folder).mkdir()
    (place.root / "link").symlink_to("out")
    begun, go = FORK.Event(), FORK.Event()
    other = FORK.Process(target=held, args=(place.out, begun, go))
    other.start()
    assert begun.wait(20)
    line = refused(capsys, *edit_of(place, "--out", place.root / name))
    assert "another process is writing to" in line
    go.set()
    other.join()
    assert not [path for path in place.root.iterdir() if path.name.startswith(".asyrp")]


def test_only_one_of_two_edits_says_that_it_wrote(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second begins while the first one walks, in a process of its own."""
    codes, second = [], FORK.Queue()

    def meanwhile(*words: object, **how: object) -> object:
        monkeypatch.undo()
        process = FORK.Process(target=lambda: second.put(call(*edit_of(place))))
        process.start()
        codes.append(second.get(timeout=60))
        process.join()
        from asyrp.method.editing import edit

        return edit(*words, **how)  # type: ignore[arg-type]

    monkeypatch.setattr("asyrp.commands.edit.edit", meanwhile)
    assert call(*edit_of(place)) == 0
    assert codes == [2]


@pytest.mark.parametrize("place_of", ["out", "previews"])
def test_an_output_that_cannot_be_written_to_is_found_at_once(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    place_of: str,
) -> None:  # fmt: skip
    """As a file system mounted read-only answers, the superuser too."""
    no_work(monkeypatch)
    locked = place.root / "locked"
    locked.mkdir()
    mkdir, opened = Path.mkdir, os.open

    def no_mkdir(self: Path, *how: object, **more: object) -> None:
        if locked in self.parents:
            raise OSError(30, "Read-only file system", str(self))
        mkdir(self, *how, **more)  # type: ignore[arg-type]

    def no_open(path: Path, flags: int, *how: int) -> int:
        if flags & os.O_CREAT and locked in Path(path).parents:
            raise OSError(30, "Read-only file system", str(path))
        return opened(path, flags, *how)

    monkeypatch.setattr(Path, "mkdir", no_mkdir)
    monkeypatch.setattr(os, "open", no_open)
    more = {"out": ["--out", locked / "new.safetensors"], "previews": ["--previews", locked]}
    line = refused(capsys, *train_of(place, *QUICK, *more[place_of]))
    assert f"the results cannot be written: {str(locked)!r}: Read-only file system" in line


def test_world_draw_on_a_full_disk_leaves_nothing_and_says_so(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("asyrp.commands.world.write_json", full)
    assert call("world", "draw", "--count", 2, "--out", place.out) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert tree(place.root) == {}


def test_a_lost_list_makes_files_those_of_others(tmp_path: Path) -> None:
    """A folder copied without its hidden files, and a list that is no list."""
    out = tmp_path / "out"

    def written(text: str) -> None:
        with protecting((), False), atomic_folder(out) as made:
            (made / "a").write_text(text)

    written("one")
    written("two")
    for spoil in (lambda p: p.write_bytes(b"\xff\n{\n" * 9), Path.unlink):
        spoil(out / WRITTEN)
        with pytest.raises(ValueError, match="is not what asyrp wrote there"):
            written("three")
    assert (out / "a").read_text() == "two"

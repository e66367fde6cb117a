"""asyrp align, asyrp paste, and both within asyrp edit."""

import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from asyrp.scorers.face_detector import Face
from asyrp.storage.images import notes_of, read_upright
from places import Place, call, edit_of, picture, results, tree

PHOTOGRAPHS = Path(__file__).parents[2] / "docs" / "images" / "photographs"
SEEN = ((30, 40), (70, 42), (35, 80), (66, 81))  # eyes and mouth, as the double below sees faces

Sees = Callable[..., None]


class Double:
    """A detector that sees faces at given places, of a given size, turned or not."""

    def __init__(self, *places: complex, scale: float = 1, turn: float = 0):
        self.faces = [self._face(place, scale, turn) for place in places]

    @staticmethod
    def _face(place: complex, scale: float, turn: float) -> Face:
        points = place + scale * np.array([complex(*point) for point in SEEN])
        box = (place.real, place.imag, place.real + 100 * scale, place.imag + 100 * scale)
        return Face(points, box, turn, 1.0)

    def __call__(self, photo: Image.Image) -> list[Face]:
        return [] if photo.width < 150 else self.faces


@pytest.fixture
def sees(monkeypatch: pytest.MonkeyPatch) -> Sees:
    def put(*places: complex, **more: float) -> None:
        double = Double(*places, **more)
        monkeypatch.setattr("asyrp.commands.align.load_face_detector", lambda: double)

    return put


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs, the second on its side in its file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (180, 240, 3), dtype=np.uint8)
        soft = Image.fromarray(pixels).resize((24, 18)).resize((240, 180), Image.Resampling.BICUBIC)
        soft.save(folder / f"photo{index}.png")
    exif = Image.Exif()
    exif[274] = 6
    soft.transpose(Image.Transpose.ROTATE_90).save(folder / "photo1.png", exif=exif)
    return folder


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line of a refusal."""
    capsys.readouterr()
    assert call(*argv) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asyrp:")]
    assert len(lines) == 1
    return lines[0]


def test_photographs_are_aligned_edited_and_pasted_back(
    photos: Path, tmp_path: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(60 + 50j)
    aligned, edited, out = (tmp_path / name for name in ("aligned", "edited", "out"))
    assert call("align", photos, "--out", aligned) == 0
    assert "wrote 2 aligned pictures of 64 x 64" in capsys.readouterr().err
    shutil.copytree(aligned, edited)
    (edited / "photo1.png").rename(edited / "photo1_+1.5.png")
    light = picture(aligned / "photo1.png") // 2 + 127
    Image.fromarray(light).save(edited / "photo1_-2.png")
    paste = ["paste", "--photos", photos, "--aligned", aligned, "--edited", edited, "--out", out]
    assert call(*paste) == 0
    names = ["photo0.png", "photo1_+1.5.png", "photo1_-2.png"]
    assert results(out) == names
    whole = np.asarray(read_upright(photos / "photo1.png"))
    assert np.array_equal(picture(out / "photo0.png"), picture(photos / "photo0.png"))
    assert np.array_equal(picture(out / "photo1_+1.5.png"), whole)
    lighter = picture(out / "photo1_-2.png").astype(int) - whole
    assert lighter[100:120, 100:120].mean() > 40
    assert np.abs(lighter[:20]).max() == 0


@pytest.mark.parametrize(("like", "size"), [("celeba", 64), ("celeba-hq", 256), ("ffhq", 256)])
def test_each_dataset_has_its_size_and_the_note_says_the_cut(
    photos: Path, tmp_path: Path, sees: Sees, like: str, size: int
) -> None:
    sees(60 + 50j)
    assert call("align", photos / "photo0.png", "--like", like, "--out", tmp_path / "a") == 0
    path = tmp_path / "a" / "photo0.png"
    assert picture(path).shape == (size, size, 3)
    told = json.loads(notes_of(path)["Alignment"])
    assert (told["photograph"], told["size"], told["like"]) == ("photo0.png", [240, 180], like)


def test_what_an_edited_picture_says_of_itself_is_kept(
    photos: Path, tmp_path: Path, sees: Sees
) -> None:
    sees(60 + 50j)
    one, aligned, edited = photos / "photo0.png", tmp_path / "aligned", tmp_path / "edited"
    assert call("align", one, "--out", aligned) == 0
    edited.mkdir()
    info = PngInfo()
    info.add_text("Software", "edited with asyrp")
    Image.fromarray(picture(aligned / "photo0.png")).save(edited / "photo0.png", pnginfo=info)
    words = ["paste", "--photos", one, "--aligned", aligned, "--edited", edited]
    assert call(*words, "--out", tmp_path / "out") == 0
    assert notes_of(tmp_path / "out" / "photo0.png") == {"Software": "edited with asyrp"}


def test_one_face_of_several_is_chosen_by_its_number(
    photos: Path, tmp_path: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(10 + 20j, 110 + 50j)
    words = ["align", photos / "photo0.png", "--out", tmp_path / "a"]
    line = refused(capsys, *words)
    assert "2 faces found in 'photo0.png'" in line
    assert "1 at x 60, y 70 (100 wide), 2 at x 160, y 100 (100 wide)" in line
    assert "--face 1 to 2" in line
    assert not (tmp_path / "a").exists()
    for face in (1, 2):
        assert call(*words, "--face", face) == 0
    first, second = (
        json.loads(notes_of(tmp_path / "a" / f"photo0_face{face}.png")["Alignment"])
        for face in (1, 2)
    )
    assert np.allclose(np.subtract(second["corner"], first["corner"]), (100, 30))
    assert "2 faces found" in refused(capsys, *words, "--face", 3)


def test_a_folder_goes_on_without_what_cannot_be_aligned(
    photos: Path, tmp_path: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(60 + 50j)
    Image.new("RGB", (100, 100)).save(photos / "nobody.png")
    (photos / "broken.png").write_bytes(b"nothing")
    assert call("align", photos, "--out", tmp_path / "a") == 0
    told = capsys.readouterr().err
    assert "2 not aligned" in told
    assert "no face found in 'nobody.png'" in told
    assert "broken.png" in told
    assert len(results(tmp_path / "a")) == 2


def test_a_cut_beyond_the_photograph_is_mirrored_and_told(
    photos: Path, tmp_path: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(-20 - 20j)
    assert call("align", photos / "photo0.png", "--out", tmp_path / "a") == 0
    assert "lies outside of the photograph and is mirrored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "double", "message"),
    [
        ([], {"turn": 0.8}, "turned too far to the side"),
        ([], {"turn": -0.8}, "turned too far to the side"),
        ([], {"scale": 0.1}, "is too small: its cut is 14 pixels wide .* --size 27 or less"),
        (["--size", "0"], {}, "--size must be 8 to 2048"),
        (["--size", "5000"], {}, "--size must be 8 to 2048"),
        (["--face", "0"], {}, "--face counts from 1"),
        (["--out", "{photos}"], {}, "holds the inputs"),
    ],
)
def test_what_cannot_be_aligned_is_told_in_a_line(
    photos: Path,
    tmp_path: Path,
    sees: Sees,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    double: dict[str, float],
    message: str,
) -> None:
    sees(60 + 50j, **double)
    before = tree(tmp_path)
    extra = [word.format(photos=photos) for word in words]
    line = refused(capsys, "align", photos / "photo0.png", "--out", tmp_path / "a", *extra)
    assert re.search(message, line)
    assert tree(tmp_path) == before


def spoil(place: str, photos: Path, aligned: Path, edited: Path) -> None:
    """Make something of paste's inputs unusable."""
    if place == "photograph":
        (photos / "photo0.png").unlink()
    elif place == "size":
        Image.new("RGB", (241, 180)).save(photos / "photo0.png")
    elif place == "name":
        (edited / "photo0.png").rename(edited / "another.png")
    elif place == "shape":
        Image.new("RGB", (64, 32)).save(edited / "photo0.png")
    else:
        Image.fromarray(picture(aligned / "photo0.png")).save(aligned / "photo0.png")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("photograph", "needed the photograph 'photo0.png'"),
        ("size", "is 241 x 180, and was 240 x 180 when it was aligned"),
        ("name", "'another.png' was edited from a picture named 'another'"),
        ("shape", "needed a square edit of 'photo0.png'"),
        ("note", "needed a picture that asyrp align wrote"),
    ],
)
def test_what_cannot_be_pasted_is_told_in_a_line(
    photos: Path,
    tmp_path: Path,
    sees: Sees,
    capsys: pytest.CaptureFixture[str],
    place: str,
    message: str,
) -> None:
    sees(60 + 50j)
    aligned, edited, out = (tmp_path / name for name in ("aligned", "edited", "out"))
    assert call("align", photos, "--out", aligned) == 0
    shutil.copytree(aligned, edited)
    spoil(place, photos, aligned, edited)
    words = ["paste", "--photos", photos, "--aligned", aligned, "--edited", edited, "--out", out]
    assert message in refused(capsys, *words)
    assert not out.exists()


def test_paste_writes_over_none_of_its_inputs(
    photos: Path, tmp_path: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(60 + 50j)
    aligned, edited = tmp_path / "aligned", tmp_path / "edited"
    assert call("align", photos, "--out", aligned) == 0
    shutil.copytree(aligned, edited)
    words = ["paste", "--photos", photos, "--aligned", aligned, "--edited", edited]
    for out in (photos, aligned, edited):
        assert re.search("holds the inputs|is an input", refused(capsys, *words, "--out", out))


# with the detector itself


@pytest.mark.filterwarnings("default:passed over")
def test_the_real_thing_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The portraits, by the packages of the extra, where nothing can be downloaded."""
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models")

    def shut(*_: object, **__: object) -> None:
        raise OSError("no network here")

    for name in ("getaddrinfo", "create_connection", "socket"):
        monkeypatch.setattr(socket, name, shut)
    assert call("align", PHOTOGRAPHS, "--out", tmp_path / "a") == 0
    told = capsys.readouterr().err
    assert "passed over" in told
    assert "README.md" in told
    names = ["astronaut.png", "biden.png", "obama.png"]
    assert results(tmp_path / "a") == names


# within edit


def test_edit_aligns_edits_and_pastes(
    place: Place, photos: Path, sees: Sees, capsys: pytest.CaptureFixture[str]
) -> None:
    sees(60 + 50j)
    one = photos / "photo0.png"
    words = edit_of(place, "--align", "celeba", "--images", one, "--strengths", -1, 1)
    assert call(*words) == 0
    names = [f"photo0_{factor}.png" for factor in ("+1", "-1")]
    for folder, size in ((place.out, (64, 64, 3)), (place.out / "pasted", (180, 240, 3))):
        assert [picture(folder / name).shape for name in names] == [size] * 2
    assert picture(place.out / "aligned" / "photo0.png").shape == (64, 64, 3)
    assert "Edit" in notes_of(place.out / "pasted" / names[0])
    told = json.loads((place.out / "run.json").read_text())
    assert (told["options"]["images"], told["options"]["align"]) == (str(one), "celeba")
    changed = np.abs(picture(place.out / "pasted" / names[0]).astype(int) - picture(one))
    assert changed.max() > 0
    assert changed[:10].max() == 0
    other = edit_of(place, "--align", "celeba", "--images", photos / "photo1.png")
    assert "holds other photographs" in refused(capsys, *other)

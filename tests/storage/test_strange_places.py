"""Files that are none, and names that lead elsewhere: a stranger's archive may hold both."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asyrp.domains.own_file import read_own
from asyrp.domains.photographs import pictures
from asyrp.errors import AsyrpError
from asyrp.finders.amortised import read_text_pairs
from asyrp.storage.alignment_note import AlignmentNote, read_alignment
from asyrp.storage.face_alignment import Square
from asyrp.storage.files import header_of, read_object
from asyrp.storage.image_sources import Skipped, open_source, stream
from asyrp.storage.images import read_image, save_png
from asyrp.storage.outputs import others
from asyrp.storage.untrusted.texts import read_bounded

TOML = """[model]
name = "avatars-64"
[guides]
encoder = "avatars-64-clip"
distance = "st-lpips-alex"
[images]
train = "a"
test = "b"
[[tasks]]
name = {name}
source = "face"
target = "sad face"
"""


def endless(path: Path, kind: str) -> Path:
    """What opens, and gives bytes for ever or none at all."""
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_what_is_no_ordinary_file_is_not_read(tmp_path: Path, kind: str) -> None:
    """It would fill the memory, or wait for ever."""
    path = endless(tmp_path / "config.json", kind)
    for read in (read_object, read_own, lambda p: read_image(p, (16, 16))):
        with pytest.raises(AsyrpError, match="no ordinary file"):
            read(path)
    (tmp_path / "table.csv").write_text("image\nconfig.json\n")
    (found,) = stream(open_source(tmp_path / "table.csv"), (16, 16))
    assert isinstance(found, Skipped)
    assert "no ordinary file" in found.reason


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_what_is_no_ordinary_file_is_no_table_of_texts_and_no_tensors(
    tmp_path: Path, kind: str
) -> None:
    path = endless(tmp_path / "a", kind)
    for read in (read_text_pairs, header_of):
        with pytest.raises(AsyrpError, match="no ordinary file"):
            read(path)


@pytest.mark.parametrize("name", ["00.png", ".asyrp-written"])
@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_what_is_no_ordinary_file_in_an_output_is_somebody_s_own(
    tmp_path: Path, kind: str, name: str
) -> None:
    endless(tmp_path / name, kind)
    (tmp_path / "01.png").write_bytes(b"mine")
    wanted = {"00.png", "01.png"} if name == "00.png" else {"01.png"}
    assert {*others(tmp_path, ["00.png", "01.png"])} == wanted


def test_a_list_of_what_was_written_may_be_nonsense(tmp_path: Path) -> None:
    (tmp_path / "00.png").write_bytes(b"mine")
    (tmp_path / ".asyrp-written").write_bytes(b"\xff " + b"[" * 100_000 + b"\n0 {}\n")
    assert others(tmp_path, ["00.png"]) == ["00.png"]


def test_a_text_has_a_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(ValueError, match="it has 5 bytes"):
        read_bounded(tmp_path / "a", 4)


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", ".hidden", "", "x" * 81, "a\nb", "~"])
def test_files_named_after_tasks_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "d.toml"
    path.write_text(TOML.format(name=json.dumps(name)))
    with pytest.raises(AsyrpError, match="needed a plain name"):
        read_own(path)
    path.write_text(TOML.format(name='"smile, 笑"'.replace(",", "")))
    assert list(read_own(path).tasks) == ["smile 笑"]


def test_a_domain_that_windows_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(TOML.format(name='"smile"'), encoding="utf-8-sig")
    assert list(read_own(tmp_path / "d.toml").tasks) == ["smile"]


def test_a_domain_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(AsyrpError, match="does not read"):
        read_own(tmp_path / "d.toml")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "a/b.png", ""])
def test_a_note_of_alignment_names_a_photograph_beside_it(tmp_path: Path, name: str) -> None:
    note = AlignmentNote(name, (40, 40), "celeba", Square(0j, 8 + 0j))
    save_png(tmp_path / "a.png", Image.new("RGB", (8, 8)), note.as_text())
    with pytest.raises(AsyrpError, match="leads elsewhere"):
        read_alignment(tmp_path / "a.png")


def test_a_picture_in_a_zip_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST_PICTURE", 1000)
    (tmp_path / "t.tsv").write_text("file\tSmiling\na.png\t1\n")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "a.png")
    for content, message in (
        ((tmp_path / "a.png").read_bytes(), ""),
        (bytes(100_000), "more than 1,000 bytes"),
        (b"no picture", "does not give"),
    ):
        with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.png", content)
        read = lambda: pictures.read(tmp_path / "z.zip", tmp_path / "t.tsv", tmp_path / "c")  # noqa: E731
        if message:
            with pytest.raises(AsyrpError, match=message):
                read()
        else:
            assert read().pictures.shape == (1, 64, 64, 3)
            (tmp_path / "c" / "pictures-1.npy").unlink()

"""Every kind of source gives the same pictures, and says which it could not read."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asyrp.errors import AsyrpError
from asyrp.storage.image_sources import Skipped, load, open_source, split_of, stream
from asyrp.storage.images import from_uint8


def picture(seed: int, size: tuple[int, int] = (20, 16)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def in_folder(root: Path) -> str:
    for index in range(3):
        picture(index).save(root / f"{index}.png")
    (root / "broken.png").write_bytes(b"not a picture")
    return str(root)


def in_csv(root: Path) -> str:
    in_folder(root)
    names = ["0.png", "1.png", "2.png", "broken.png", "missing.png"]
    lines = [f"{name},{'yes' if i % 2 else 'no'}" for i, name in enumerate(names)]
    (root / "table.csv").write_text("image_id,smiling\n" + "\n".join(lines) + "\n")
    return str(root / "table.csv")


def in_lsun(root: Path) -> str:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(root / "church.lmdb")) as database, database.begin(write=True) as writer:
        for index in range(3):
            writer.put(f"{index}key".encode(), png(picture(index)))
        writer.put(b"9bad", b"not a picture")
    return str(root / "church.lmdb")


def in_celeba(root: Path) -> str:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(root / "celeba")) as database, database.begin(write=True) as writer:
        writer.put(b"length", b"3")
        for index in range(3):
            writer.put(f"20-{index:05d}".encode(), png(picture(index)))
            writer.put(f"128-{index:05d}".encode(), png(picture(index + 9, (128, 128))))
        writer.put(b"20-00009", b"not a picture")
    return str(root / "celeba")


def in_hugging_face(root: Path) -> str:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": png(picture(i)), "path": None} for i in range(3)]
    cells.append({"bytes": b"not a picture", "path": None})
    columns = datasets.Features(
        {"face": datasets.Image(decode=False), "age": datasets.Value("int32")}
    )
    table = datasets.Dataset.from_dict({"face": cells, "age": [3, 4, 5, 6]}, features=columns)
    table.cast_column("face", datasets.Image()).save_to_disk(str(root / "faces"))
    return f"hf:{root / 'faces'}"


@pytest.mark.parametrize("make", [in_folder, in_csv, in_lsun, in_celeba, in_hugging_face])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_every_source_gives_its_pictures_and_names_the_broken_one(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    found = load(make(tmp_path), (16, 20))
    wanted = torch.stack([from_uint8(np.asarray(picture(i))[None])[0] for i in range(3)])
    assert torch.equal(torch.stack([record.image for record in found.records]), wanted)
    assert all(record.size == (16, 20) for record in found.records)
    assert 1 <= len(found.skipped) <= 2
    assert all(one.reason for one in found.skipped)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_of_several_resolutions_the_smallest_that_suffices_is_read(tmp_path: Path) -> None:
    spec = in_celeba(tmp_path)
    assert load(spec, (64, 64)).records[0].size == (128, 128)
    assert load(spec, (500, 500)).records[0].size == (128, 128)
    assert load(spec, (8, 8)).records[0].size == (16, 20)


def test_labels_come_with_the_pictures(tmp_path: Path) -> None:
    found = load(in_csv(tmp_path), (16, 20))
    assert [record.labels["smiling"] for record in found.records] == ["no", "yes", "no"]
    assert {one.name for one in found.skipped} == {"broken.png", "missing.png"}


def test_labels_of_hugging_face_datasets_are_the_other_columns(tmp_path: Path) -> None:
    found = load(in_hugging_face(tmp_path), (16, 20))
    assert [record.labels for record in found.records] == [{"age": "3"}, {"age": "4"}, {"age": "5"}]


def test_turned_grey_and_transparent_pictures(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    rows, columns = np.mgrid[:16, :20]
    slope = np.stack([rows * 15, columns * 12, rows * 0], 2).astype(np.uint8)
    Image.fromarray(slope).save(tmp_path / "a.jpg", exif=exif, quality=100)
    picture(1).convert("L").save(tmp_path / "b.png")
    clear = picture(2).convert("RGBA")
    clear.putalpha(0)
    clear.save(tmp_path / "c.png")
    turned, grey, white = load(tmp_path, (20, 16)).records
    assert turned.size == (20, 16)
    assert turned.image.shape == (3, 20, 16)
    upright = from_uint8(np.rot90(slope, -1)[None])[0]
    assert (turned.image - upright).abs().mean() < 0.05
    assert torch.equal(grey.image[0], grey.image[2])
    assert white.image.min() == 1


def test_the_size_of_the_first_picture_is_taken_where_none_is_asked_for(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "a.png")
    picture(1, (32, 32)).save(tmp_path / "b.png")
    first, second = load(tmp_path).records
    assert first.image.shape == second.image.shape == (3, 16, 20)
    assert second.size == (32, 32)


def test_pictures_are_streamed_one_by_one(tmp_path: Path) -> None:
    in_folder(tmp_path)
    steps = stream(open_source(tmp_path), (16, 20))
    assert next(steps).name == "0.png"
    (tmp_path / "1.png").unlink()
    assert isinstance(next(steps), Skipped)


def test_splits_do_not_depend_on_order_suffix_or_machine() -> None:
    assert split_of("00012.png") == split_of("folder/00012.webp") == "train"
    names = [f"{i:05d}" for i in range(4000)]
    counts = {name: sum(split_of(n) == name for n in names) for name in ("train", "test")}
    assert counts["train"] / 4000 == pytest.approx(0.8, abs=0.03)
    assert counts["test"] / 4000 == pytest.approx(0.1, abs=0.02)


def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(AsyrpError, match="does not exist"):
        load(tmp_path / "no.csv")
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    with pytest.raises(AsyrpError, match=r"column of file names.*it has a, b"):
        load(tmp_path / "plain.csv")
    (tmp_path / "x.png").write_bytes(b"nothing")
    with pytest.raises(AsyrpError, match=r"at least one readable.*1 unreadable.*x\.png"):
        load(tmp_path)


def huge(file: Path) -> None:
    """A PNG whose header says 40,000 x 40,000 pixels."""
    content = bytearray(png(picture(0)))
    content[16:24] = struct.pack(">II", 40_000, 40_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    file.write_bytes(bytes(content))


def test_a_picture_too_large_to_open_is_skipped(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "good.png")
    huge(tmp_path / "huge.png")
    found = load(tmp_path)
    assert [record.name for record in found.records] == ["good.png"]
    assert [one.name for one in found.skipped] == ["huge.png"]


def test_rows_of_a_csv_may_be_short(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "1.png")
    (tmp_path / "table.csv").write_text("age,file_name,smiling\n3,1.png,yes\n4\n5,1.png\n")
    found = load(tmp_path / "table.csv")
    assert [record.labels for record in found.records] == [
        {"age": "3", "smiling": "yes"},
        {"age": "5", "smiling": ""},
    ]
    assert [one.name for one in found.skipped] == ["line 3"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("file_name,age,age\n1.png,3,4\n")
    with pytest.raises(AsyrpError, match=r"table.csv' has two columns 'age'"):
        load(tmp_path / "table.csv")


@pytest.mark.parametrize("content", [b"file_name\n\xff\xfe.png\n", b"file_name\n\x00\n"])
def test_a_csv_that_is_no_text_is_told_in_a_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(AsyrpError, match=r"table\.csv"):
        load(tmp_path / "table.csv")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_row_without_a_picture_is_skipped(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": png(picture(0)), "path": None}, None]
    columns = datasets.Features({"face": datasets.Image(decode=False)})
    table = datasets.Dataset.from_dict({"face": cells}, features=columns)
    table.cast_column("face", datasets.Image()).save_to_disk(str(tmp_path / "faces"))
    found = load(f"hf:{tmp_path / 'faces'}")
    assert [record.name for record in found.records] == ["00000000"]
    assert [one.name for one in found.skipped] == ["00000001"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_split_that_a_dataset_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsyrpError, match="has no split 'nope'; it has"):
        load(f"{in_hugging_face(tmp_path)}:nope")

"""LMDB files: what the library wrote is read alike, and no damage ends more than the command."""

import contextlib
import multiprocessing
import os
import random
from collections.abc import Callable
from pathlib import Path
from struct import pack, pack_into

import pytest
from test_image_sources import in_hugging_face, picture, png

from asyrp.cli import main
from asyrp.errors import AsyrpError
from asyrp.storage.image_sources import open_source
from asyrp.storage.untrusted.databases import Database

lmdb = pytest.importorskip("lmdb")
FORK = multiprocessing.get_context("fork")
PAGE = os.sysconf("SC_PAGE_SIZE")


def made(
    folder: Path, entries: dict[bytes, bytes], again: Callable[..., None] | None = None
) -> Path:
    """An LMDB as the library writes it."""
    with lmdb.open(str(folder), map_size=2**28) as database:
        with database.begin(write=True) as writer:
            for key, value in entries.items():
                writer.put(key, value)
        if again:
            with database.begin(write=True) as writer:
                again(writer)
    return folder


def pictures(folder: Path, count: int = 40) -> Path:
    """Some in pages of their own, some beside their keys."""
    sizes = [(20 + 3 * i, 20 + 3 * i) for i in range(count)]
    return made(
        folder, {f"{i:05d}".encode(): png(picture(i, size)) for i, size in enumerate(sizes)}
    )


@pytest.mark.parametrize("count", [0, 1, 5, 300, 20_000])
def test_what_the_library_wrote_is_read_alike(tmp_path: Path, count: int) -> None:
    """Up to three levels of pages, values of all sizes, entries replaced and removed."""
    rng = random.Random(count)
    sizes = (0, 1, 30, 2000, 2027, 2028, 2100, 9000) if count < 1000 else (0, 10, 30)
    entries = {
        rng.randbytes(rng.randrange(1, 60)): rng.randbytes(rng.choice(sizes)) for _ in range(count)
    }
    removed = rng.sample(sorted(entries), count // 3)

    def again(writer: "lmdb.Transaction") -> None:
        for key in removed:
            writer.delete(key)

    made(tmp_path, entries, again)
    wanted = {k: v for k, v in entries.items() if k not in removed}
    with Database(tmp_path) as found:
        assert list(found.keys()) == sorted(wanted)
        assert dict(found.items()) == wanted
        for key in [
            *rng.sample(sorted(wanted), min(20, len(wanted))),
            *removed[:20],
            b"",
            b"x" * 61,
        ]:
            assert (key in found) == (key in wanted)


def read(folder: Path) -> None:
    """To the end, or to a refusal; anything else is raised."""
    with contextlib.suppress(AsyrpError):
        for _ in open_source(str(folder), (16, 16)):
            pass


def ended(work: Callable[[], object]) -> int | None:
    """The exit code of a process that does it; negative for a signal."""
    process = FORK.Process(target=work)
    process.start()
    process.join(120)
    process.kill()
    return process.exitcode


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_database_that_was_cut_short_kills_nobody(tmp_path: Path, share: float) -> None:
    folder = pictures(tmp_path / "lmdb")
    file = folder / "data.mdb"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    words = ["gather", "--images", str(folder), "--out", str(tmp_path / "out")]
    assert ended(lambda: os._exit(main(words))) == 2
    assert not (tmp_path / "out").exists()


def test_what_is_missing_at_the_end_is_told_before_anything_is_read(tmp_path: Path) -> None:
    file = pictures(tmp_path) / "data.mdb"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(size - 1)
    told = f"has {size - 1:,} of the {size:,} bytes that it tells of"
    with pytest.raises(AsyrpError, match=told):
        Database(tmp_path)


def damage_all(folder: Path, first: int, last: int) -> None:
    """Flip some bytes, read, put them back; ends with 0."""
    file = folder / "data.mdb"
    whole = file.read_bytes()
    for number in range(first, last):
        rng, data = random.Random(number), bytearray(whole)
        for _ in range(rng.choice((1, 2, 8, 40))):
            page = rng.choice((0, 1, rng.randrange(len(data) // PAGE)))
            place = page * PAGE + rng.randrange(rng.choice((64, 200, PAGE)))
            data[place] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        file.write_bytes(data)
        read(folder)
    os._exit(0)


def test_flipped_bytes_are_read_or_refused(tmp_path: Path) -> None:
    folder = pictures(tmp_path)
    assert ended(lambda: damage_all(folder, 0, 400)) == 0


META, TREE = 16, 48  # where a meta page's content begins, and the bytes of a table's record
ROOT = META + 24 + TREE + 40


def newest(data: bytearray) -> int:
    """Where the meta page begins that counts."""
    at = META + 24 + 2 * TREE + 8
    return PAGE if data[PAGE + at : PAGE + at + 8] > data[at : at + 8] else 0


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (META, pack("<I", 7), "begins otherwise"),
        (META + 4, pack("<I", 2), "the version 2"),
        (META + 24, pack("<I", 0), "pages have 0 bytes"),
        (META + 24, pack("<I", 8192), "disagree|begins otherwise|ends before"),
        (META + 24 + TREE + 4, pack("<H", 4), "the kind 4"),
        (META + 24 + 2 * TREE, pack("<Q", 2**63), "bytes that it tells of"),
        (ROOT, pack("<Q", 2**63), "ends before"),
        (ROOT, pack("<Q", 1), "no page 1"),
        (ROOT, pack("<Q", 2**64 - 2), "ends before"),
    ],
)
def test_a_meta_page_that_lies_is_told(
    tmp_path: Path, place: int, value: bytes, reason: str
) -> None:
    file = pictures(tmp_path) / "data.mdb"
    data = bytearray(file.read_bytes())
    start = newest(data)
    data[start + place : start + place + len(value)] = value
    file.write_bytes(data)
    with pytest.raises(AsyrpError, match=reason):
        list(open_source(str(tmp_path)))


def test_pages_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    """A branch page all of whose children are itself."""
    made(tmp_path, {f"{i:05d}".encode(): bytes(900) for i in range(60)})
    file = tmp_path / "data.mdb"
    data = bytearray(file.read_bytes())
    root = int.from_bytes(data[newest(data) + ROOT : newest(data) + ROOT + 8], "little")
    start = root * PAGE
    end = int.from_bytes(data[start + 12 : start + 14], "little")
    for at in range(16, end, 2):
        node = start + int.from_bytes(data[start + at : start + at + 2], "little")
        pack_into("<HHH", data, node, root & 0xFFFF, root >> 16, 0)
    file.write_bytes(data)
    with pytest.raises(AsyrpError, match="in a circle"):
        list(open_source(str(tmp_path)))


def test_tables_within_tables_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path), max_dbs=2) as database:
        inner = database.open_db(b"faces", dupsort=True)
        with database.begin(write=True) as writer:
            writer.put(b"a", b"b", db=inner)
    with pytest.raises(AsyrpError, match="tables within tables"):
        list(open_source(str(tmp_path)))


def test_strange_keys_of_a_celeba_file_are_left_aside(tmp_path: Path) -> None:
    """A superscript counts as a digit for `str.isdigit`, and not for `int`."""
    made(tmp_path, {b"length": b"1", b"\xb2-1": b"x", b"20-1": b"y", b"9" * 400 + b"-1": b"z"})
    assert [item.data for item in open_source(str(tmp_path), (16, 16))] == [b"y"]


def test_no_lmdb_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.lmdb").mkdir()
    for content, reason in (
        (None, "not a readable LMDB"),
        (b"", "damaged"),
        (b"x" * 9999, "begins"),
    ):
        if content is not None:
            (tmp_path / "a.lmdb" / "data.mdb").write_bytes(content)
        with pytest.raises(AsyrpError, match=reason):
            list(open_source(str(tmp_path / "a.lmdb")))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_damaged_table_of_hugging_face_is_read_or_refused(tmp_path: Path) -> None:
    spec = in_hugging_face(tmp_path)
    (file,) = (tmp_path / "faces").glob("*.arrow")
    whole = file.read_bytes()
    for number in range(40):
        rng, data = random.Random(number), bytearray(whole)
        for _ in range(8):
            data[rng.randrange(1200)] = rng.randrange(256)
        file.write_bytes(data if number % 3 else data[: rng.randrange(len(data))])
        with contextlib.suppress(AsyrpError):
            list(open_source(spec))

"""asyrp align."""

from collections.abc import Sequence
from pathlib import Path
from timeit import timeit
from typing import Any

from PIL import Image
from tqdm import tqdm

from asyrp.commands.common import say, tell_others
from asyrp.commands.forecast import foreseen, is_asked
from asyrp.errors import AsyrpError
from asyrp.options.files import Align
from asyrp.scorers.face_detector import Face, FaceDetector, load_face_detector
from asyrp.settings import Like
from asyrp.storage.alignment_note import AlignmentNote
from asyrp.storage.face_alignment import Square, cut, square_like
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import find_images, stems_in
from asyrp.storage.images import read_upright, save_png
from asyrp.storage.results import check_results

SIZES: dict[Like, int] = {"celeba": 64, "celeba-hq": 256, "ffhq": 256}
MOST_TURNED = 0.6  # of `Face.turn`; .51 is the 99th percentile of 484 pictures of CelebA
MOST_ENLARGED = 2.0  # above which an aligned picture is a blur
MOST_OUTSIDE = 0.1  # share of mirrored border that is not worth a word
SIDES = range(8, 2049)
SHOWN = 4  # refusals that are named


def run(options: Align) -> dict[str, Any]:
    """Write one PNG a photograph, or nothing where none can be aligned."""
    size = SIZES[options.like] if options.size is None else options.size
    return align(options.photos, options.out, options.like, size, options.face)


def align(
    photos: Path, out: Path, like: Like, size: int, face: int | None = None
) -> dict[str, Any]:
    """Write NAME.png (NAME_faceN.png) for each photograph; say which could not be aligned, and why.

    Raises:
        AsyrpError: an option that cannot be, or no photograph with a face that can be aligned.
    """
    if size not in SIDES:
        raise AsyrpError(f"--size must be {SIDES[0]} to {SIDES[-1]} pixels; got {size}")
    if face is not None and face < 1:
        raise AsyrpError(f"--face counts from 1, from the left; got {face}")
    behind = "" if face is None else f"_face{face}"
    check_results(out, photos, [f"{stem}{behind}.png" for stem in stems_in(photos)])
    paths, detect = find_images(photos), load_face_detector()
    _foresee(paths, detect, out)
    refused, written = list[str](), list[str]()
    with atomic_folder(out) as folder:
        for path in tqdm(paths, desc="aligning", unit="photograph"):
            try:
                picture, note = aligned(path, detect, like, size, face)
            except AsyrpError as error:
                refused.append(str(error))
                continue
            written.append(f"{path.stem}{behind}.png")
            save_png(folder / written[-1], picture, note.as_text())
        if not written:
            raise AsyrpError("; ".join(refused[:SHOWN]))
    say(f"wrote {len(written)} aligned pictures of {size} x {size} to {out}")
    if refused:
        more = "" if len(refused) <= SHOWN else f"; and {len(refused) - SHOWN} more"
        say(f"warning: {len(refused)} not aligned: {'; '.join(refused[:SHOWN])}{more}")
    tell_others(out, written)
    return {"out": out, "aligned": written, "refused": refused}


def _foresee(paths: Sequence[Path], detect: FaceDetector, out: Path) -> None:
    """With --dry-run: look at one photograph, and end here."""
    if is_asked():
        seconds = timeit(lambda: detect(read_upright(paths[0])), number=1)
        foreseen(f"align {len(paths)} photographs into {out}", len(paths) * seconds)


def aligned(
    path: Path, detect: FaceDetector, like: Like, size: int, face: int | None
) -> tuple[Image.Image, AlignmentNote]:
    """The face of a photograph as a dataset cuts it out, (size, size), and where it lay.

    Raises:
        AsyrpError: no readable picture, or see `square_of`.
    """
    photo = read_upright(path)
    square = square_of(detect(photo), photo, path.name, like, size, face)
    return cut(photo, square, size), AlignmentNote(path.name, photo.size, like, square)


def square_of(
    faces: Sequence[Face], photo: Image.Image, name: str, like: Like, size: int, face: int | None
) -> Square:
    """The square of one of a photograph's faces.

    Raises:
        AsyrpError: not one face to choose, or one too turned or too small.
    """
    found = chosen(faces, name, face)
    square = square_like(like, found.points)
    if abs(found.turn) > MOST_TURNED:
        raise AsyrpError(
            f"the face in {name!r} is turned too far to the side to be aligned; use a "
            "photograph in which both eyes look towards the camera"
        )
    if size > MOST_ENLARGED * square.side:
        raise AsyrpError(
            f"the face in {name!r} is too small: its cut is {square.side:.0f} pixels wide and "
            f"{size} are asked for; give --size {int(MOST_ENLARGED * square.side)} or less, or a "
            "larger photograph"
        )
    if (outside := square.outside(photo.size)) > MOST_OUTSIDE:
        say(
            f"warning: {outside:.0%} of the cut of {name!r} lies outside of the photograph "
            "and is mirrored"
        )
    return square


def chosen(faces: Sequence[Face], name: str, face: int | None) -> Face:
    """The one that was asked for.

    Raises:
        AsyrpError: there is none, not that many, or several and none was chosen.
    """
    if not faces:
        raise AsyrpError(
            f"no face found in {name!r}: needed one that is upright, looks towards the camera and "
            "takes at least 5 % of the longer side; turn the photograph or cut it around the face"
        )
    if face is None and len(faces) == 1:
        return faces[0]
    if face is None or face > len(faces):
        centres = (f"{at} at {_centre(one)}" for at, one in enumerate(faces, 1))
        raise AsyrpError(
            f"{len(faces)} faces found in {name!r}, counted from the left: {', '.join(centres)}; "
            f"give asyrp align --face 1 to {len(faces)}"
        )
    return faces[face - 1]


def _centre(face: Face) -> str:
    left, top, right, bottom = face.box
    return f"x {(left + right) / 2:.0f}, y {(top + bottom) / 2:.0f} ({right - left:.0f} wide)"

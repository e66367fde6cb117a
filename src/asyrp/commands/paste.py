"""asyrp paste."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from asyrp.commands.common import say, tell_others
from asyrp.errors import AsyrpError
from asyrp.options.files import Paste
from asyrp.storage.alignment_note import AlignmentNote, read_alignment
from asyrp.storage.face_alignment import put_back
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import notes_of, read_upright, save_png
from asyrp.storage.results import check_results

FACTOR = re.compile(r"_[+-]\d[\d.e+-]*$")  # of --strengths, behind a file's name


def run(options: Paste) -> dict[str, Any]:
    """Write one PNG an edited picture, of the photograph's size."""
    return paste(options.photos, options.aligned, find_images(options.edited), options.out)


def paste(photos: Path, aligned: Path, edited: list[Path], out: Path) -> dict[str, Any]:
    """Write each photograph with its edited face, under the name of the edited picture.

    Raises:
        AsyrpError: an edited picture without its aligned one, one that is not square, or a
            photograph that is missing or has another size than when it was aligned.
    """
    names = [f"{path.stem}.png" for path in edited]
    for inputs in (photos, aligned, *{path.parent for path in edited}):
        check_results(out, inputs, names)
    by_stem = {path.stem: path for path in find_images(aligned)}
    with atomic_folder(out) as folder:
        for path in tqdm(edited, desc="pasting", unit="picture"):
            notes = {key: text for key, text in notes_of(path).items() if key != "Alignment"}
            whole = pasted(photos, aligned_of(path, by_stem), path)
            save_png(folder / f"{path.stem}.png", whole, notes)
    say(f"wrote {len(edited)} photographs to {out}")
    tell_others(out, names)
    return {"out": out, "photographs": names}


def aligned_of(edited: Path, by_stem: Mapping[str, Path]) -> Path:
    """The aligned picture that an edited one was made from, by its name.

    Raises:
        AsyrpError: there is none.
    """
    found = by_stem.get(edited.stem) or by_stem.get(FACTOR.sub("", edited.stem))
    if found is None:
        raise AsyrpError(
            f"{edited.name!r} was edited from a picture named {FACTOR.sub('', edited.stem)!r}, and "
            "--aligned has none; name the folder that was edited"
        )
    return found


def pasted(photos: Path, aligned: Path, edited: Path) -> Image.Image:
    """The photograph with an edited face."""
    note, face = read_alignment(aligned), read_upright(edited)
    if face.width != face.height:
        raise AsyrpError(
            f"needed a square edit of {aligned.name!r}; "
            f"{str(edited)!r} is {face.width} x {face.height}"
        )
    return put_back(photograph_of(photos, note), note.square, read_upright(aligned), face)


def photograph_of(photos: Path, note: AlignmentNote) -> Image.Image:
    """The photograph that a picture was aligned from.

    Raises:
        AsyrpError: it is not there, or not the same.
    """
    path = photos / note.photograph if photos.is_dir() else photos
    if not path.is_file():
        raise AsyrpError(f"needed the photograph {note.photograph!r}; {str(path)!r} does not exist")
    photo = read_upright(path)
    if photo.size != note.size:
        raise AsyrpError(
            f"{str(path)!r} is {photo.width} x {photo.height}, and was {note.size[0]} x "
            f"{note.size[1]} when it was aligned; give that one, or align this one"
        )
    return photo

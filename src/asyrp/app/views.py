"""Fragments of the page as HTML. Whatever people wrote is escaped; pictures travel as data."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from torch import Tensor

from asyrp.app.gallery import Entry, Listing
from asyrp.app.pictures import Picture, data_uri, jpeg, png
from asyrp.storage.images import MARK

KINDS = {".json": "application/json", ".jpg": "image/jpeg", ".png": "image/png"}


def image(content: Tensor, alt: str, kind: str = "") -> str:
    """(3, height, width) as an <img>."""
    return _image(data_uri(png(content)), alt, kind)


def _image(address: str, alt: str, kind: str = "") -> str:
    return (
        f'<img class="{kind}" src="{address}" alt="{escape(alt)}" decoding="sync" '
        'draggable="false">'
    )


def tile(content: Tensor | None, name: str, note: str = "") -> str:
    """A captioned picture, or the place for one."""
    inside = image(content, f"{name} {note}".strip()) if content is not None else "<i></i>"
    small = f"<small>{escape(note)}</small>" if note else ""
    return f"<figure>{inside}<figcaption>{escape(name)} {small}</figcaption></figure>"


def stage(
    original: Tensor | None = None,
    reconstruction: Tensor | None = None,
    edit: Tensor | None = None,
    notes: Sequence[str] = ("", "", ""),
) -> str:
    """Original, reconstruction and edit side by side."""
    names = ("Original", "Reconstruction", "Edit")
    tiles = zip((original, reconstruction, edit), names, notes, strict=True)
    return f'<div class="stage">{"".join(tile(*one) for one in tiles)}</div>'


def compare(before: str = "", after: str = "") -> str:
    """Two pictures on top of each other, as addresses, divided where the range below says."""
    if not before:
        return '<div class="compare"><i></i></div>'
    pictures = _image(before, "before the edit")
    if after:
        pictures += _image(after, "after the edit", "after")
        pictures += "<b></b><span>before</span><span>after</span>"
    return f'<div class="compare">{pictures}</div>'


SPLIT = (
    '<label class="split">Before and after'
    '<input type="range" id="split" min="0" max="100" value="50"></label>'
)


def faces(pictures: Sequence[Picture], chosen: str = "") -> str:
    """Buttons with faces to choose from."""

    def button(number: int, one: Picture) -> str:
        pressed = "true" if one.name == chosen else "false"
        return (
            f'<button type="button" data-face="{number}" aria-pressed="{pressed}" '
            f'aria-label="Edit {escape(one.name)}">{image(one.image, "")}</button>'
        )

    buttons = (button(*one) for one in enumerate(pictures))
    return f'<div class="faces" role="group" aria-label="Faces to edit">{"".join(buttons)}</div>'


def bar(label: str, done: int, total: int) -> str:
    """A progress bar."""
    text = escape(label)
    share = f"{100 * done / max(1, total):.0f} %"
    return (
        f'<label class="bar"><span>{text}</span><progress max="{total}" value="{done}" '
        f'aria-label="{text}">{share}</progress></label>'
    )


IDLE = '<label class="bar idle"><span></span><progress max="1" value="0" aria-hidden="true">'
IDLE += "</progress></label>"


def message(text: str, error: bool = False) -> str:
    """A line for the user."""
    return f'<p class="message{" error" if error else ""}">{escape(text)}</p>'


def links(downloads: Mapping[str, tuple[bytes, str]]) -> str:
    """Downloads: file name -> (content, what it is); the files lie in the page itself."""
    if not downloads:
        return '<p class="hint">Downloads appear once an edit is finished.</p>'
    parts = (
        f'<a download="{escape(name)}" href="{data_uri(content, KINDS[Path(name).suffix])}">'
        f"Download {escape(what)}</a>"
        for name, (content, what) in downloads.items()
    )
    return f'<nav class="links" aria-label="Downloads">{"".join(parts)}</nav>'


def strip(content: Tensor, labels: Sequence[str], alt: str) -> str:
    """A strip of pictures, and what stands below each."""
    below = "".join(f"<span>{escape(label)}</span>" for label in labels)
    return f'<figure class="strip">{image(content, alt)}<figcaption>{below}</figcaption></figure>'


def edit_files(
    picture: Picture, edited: Tensor, strip: Tensor | None, record: Mapping[str, Any]
) -> dict[str, tuple[bytes, str]]:
    """The downloads of an edit; pictures carry a note that says what edited them."""
    texts = [
        f"{d['card']['source']} -> {d['card']['target']}" for d in record["options"]["directions"]
    ]
    notes = {"Software": MARK, "Edit": str(texts)}
    found = {}
    if picture.photo is not None:
        whole = jpeg(picture.in_photo(edited), f"{MARK}: {texts}")
        found["photograph.jpg"] = (whole, "photograph")
    found["edit.png"] = (png(edited, notes), "edit")
    if strip is not None:
        found["strip.png"] = (png(strip, notes), "strip")
    found["original.png"] = (png(picture.image), "input")
    content = json.dumps(record, indent=1, default=str) + "\n"
    return {**found, "run.json": (content.encode(), "run.json")}


def card(entry: Entry, pictures: Sequence[Tensor] = ()) -> str:
    """A direction's card, with a face before and after it where they are known."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(entry).items()
    )
    names = ("before", f"after {entry.title}")
    shown = "".join(image(*pair) for pair in zip(pictures, names, strict=False)) or "<i></i><i></i>"
    origin = "built in" if entry.built_in else "own"
    return (
        f'<article class="card"><div class="pair">{shown}</div>'
        f"<h2>{escape(entry.title)}</h2><p>{escape(entry.path.name)} ({origin})</p>"
        f"<dl>{rows}</dl></article>"
    )


def facts(entry: Entry) -> dict[str, str]:
    """The card of a direction in words."""
    one, training = entry.card, entry.card.training
    start = "T" if one.t_start is None else str(one.t_start)
    known = {
        "Edits from t to t": f"{start} to {one.t_edit}",
        "Boosts below t": str(one.t_boost),
        "Steps": str(one.trained_steps),
        "Strength": f"{one.strength:g}",
        "Text cosine": f"{one.text_cosine:.3f}" if one.text_cosine else "",
        "Guided by": one.encoder,
        "Kind": str(training.get("kind", "")),
        "Trained on": f"{training['images']} faces" if "images" in training else "",
    }
    loss = training.get("validation_loss")
    known["Validation loss"] = f"{loss:.3f}" if isinstance(loss, float) else ""
    for name in ("success", "leakage"):
        share = training.get("test", {}).get(name)
        known[f"{name.title()} on test images"] = f"{share:.1%}" if share is not None else ""
    return {name: value for name, value in known.items() if value}


def gallery(listing: Listing, shown: Mapping[str, Sequence[Tensor]]) -> str:
    """All cards, and the files that cannot be used."""
    cards = (card(entry, shown.get(key, ())) for key, entry in listing.entries.items())
    found = "".join(cards) or '<p class="hint">No directions yet: the tab Train makes one.</p>'
    refused = "".join(
        f"<li>{escape(name)}: {escape(why)}</li>" for name, why in listing.refused.items()
    )
    below = f'<p class="hint">Not usable:</p><ul class="hint">{refused}</ul>' if refused else ""
    return f'<div class="cards">{found}</div>{below}'

"""What people send to the page, what it shows, and what it keeps in files."""

import base64
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app_doubles import STEPS, chosen, finish, new_studio, write_directions
from asyrp.app import charts, plans, views
from asyrp.app.gallery import Gallery
from asyrp.app.gradio_memory import tidied
from asyrp.app.jobs import CHECKPOINT, Job, interrupted, paths
from asyrp.app.pictures import Limits, Photo, Picture, png, random_faces, read_upload, world_faces
from asyrp.app.sessions import SLOTS, Marks
from asyrp.app.studio import Studio
from asyrp.domains import shipped
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, load_direction, save_direction
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.storage.face_alignment import Square, cut
from asyrp.storage.images import from_uint8, to_uint8
from conftest import noise, tiny_model

# What people send


def upload(folder: Path, name: str, size: tuple[int, int] = (20, 20)) -> Path:
    path = folder / name
    Image.new("RGB", size, (255, 0, 0)).save(path)
    return path


def test_an_upload_is_cropped_to_the_shape_of_the_network(tmp_path: Path) -> None:
    path = upload(tmp_path, "a.png", (40, 20))
    found, told = read_upload(str(path), tmp_path, (8, 8), Limits())
    assert told == ""
    assert found.image.shape == (3, 8, 8)
    assert found.image[:, 0, 0].tolist() == [1.0, -1.0, -1.0]
    assert found.name == "a.png"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(size=50), "may have at most 5e-05 MB"), (Limits(pixels=399), "at most 399 pixels")],
)
def test_uploads_have_limits(tmp_path: Path, limits: Limits, reason: str) -> None:
    path = upload(tmp_path, "a.png")
    with pytest.raises(AsyrpError, match=reason):
        read_upload(str(path), tmp_path, (8, 8), limits)


@pytest.mark.parametrize("content", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n123"])
def test_what_is_no_picture_is_refused_without_its_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(AsyrpError, match=r"'a\.png'") as caught:
        read_upload(str(path), tmp_path, (8, 8), Limits())
    assert str(tmp_path) not in str(caught.value)


def test_files_of_the_server_are_no_uploads(tmp_path: Path) -> None:
    inside = tmp_path / "uploads"
    inside.mkdir()
    secret = upload(tmp_path, "secret.png")
    (inside / "link.png").symlink_to(secret)
    for path in (secret, inside / "link.png", inside / ".." / "secret.png", "http://a.b/c.png"):
        with pytest.raises(AsyrpError, match="uploaded here") as caught:
            read_upload(str(path), inside, (8, 8), Limits())
        assert str(tmp_path) not in str(caught.value)
    assert secret.exists()


def test_worlds_of_another_size_offer_no_drawn_faces() -> None:
    assert world_faces(2, (16, 16)) == []


def test_a_face_is_found_cut_out_and_put_back(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    whole = noise(3, 60, 80).clamp(-1, 1)
    Image.fromarray(to_uint8(whole[None])[0]).save(path)
    square = Square(20 + 10j, 32 + 0j)

    def align(photo: Image.Image, name: str) -> Photo:
        return Photo(photo, square, cut(photo, square, 8), 2)

    found, told = read_upload(str(path), tmp_path, (8, 8), Limits(), align)
    assert "2 faces; the largest" in told
    assert found.image.shape == (3, 8, 8)
    before, same = found.in_photo(), found.in_photo(found.image)
    assert same.tobytes() == before.tobytes()  # an edit that changes nothing
    after = np.asarray(found.in_photo(-found.image)).astype(int)
    changed = np.abs(after - np.asarray(before)).max(axis=2) > 8
    assert changed[15:38, 25:48].any()
    assert not changed[:, :18].any()
    assert found.shown().startswith("data:image/jpeg")
    record = {"options": {"directions": []}}
    assert next(iter(views.edit_files(found, found.image, None, record))) == "photograph.jpg"


def test_a_photograph_without_a_face_is_cropped_and_told(tmp_path: Path) -> None:
    def align(photo: Image.Image, name: str) -> Photo:
        raise AsyrpError(f"no face found in {name!r}")

    path = upload(tmp_path, "hill.png", (40, 20))
    found, told = read_upload(str(path), tmp_path, (8, 8), Limits(), align)
    assert "'hill.png'" in told
    assert found.photo is None
    upload(tmp_path, "aligned.png", (8, 8))
    assert read_upload(str(tmp_path / "aligned.png"), tmp_path, (8, 8), Limits(), align)[1] == ""


# What is shown


def test_texts_of_others_are_escaped(studio: Studio) -> None:
    listing = studio.gallery.listing()
    page = views.gallery(listing, {})
    assert "<b>face</b>" not in page
    assert "odd &lt;b&gt;face&lt;/b&gt;" in page
    assert "<script>" not in views.message("<script>")
    name = '"><img src=x onerror=alert(1)>.png'
    assert "<img src=x" not in views.stage(notes=(name, "", ""))
    image = torch.zeros(3, 8, 8)
    assert "<img src=x" not in views.faces([Picture(name, image)], name)


def test_a_png_on_the_page_says_what_edited_it(tmp_path: Path) -> None:
    image = noise(3, 8, 8).clamp(-1, 1)
    record = {"options": {"directions": [{"card": {"source": "face", "target": "smile"}}]}}
    found = views.edit_files(Picture("a", image), image, None, record)
    assert list(found) == ["edit.png", "original.png", "run.json"]
    path = tmp_path / "edit.png"
    path.write_bytes(found["edit.png"][0])
    with Image.open(path) as opened:
        assert opened.info["Software"] == "edited with asyrp"
        assert "face -> smile" in opened.info["Edit"]
    page = views.links(found)
    content = page.split('download="original.png" href="data:image/png;base64,')[1].split('"')[0]
    assert base64.b64decode(content) == png(image)


def test_marks_of_the_chart_lie_where_the_curves_say() -> None:
    page = charts.curves(None, Marks(999, 500, 0), 999)
    for name, t in (("t_start", 999), ("t_edit", 500), ("t_boost", 0)):
        x = charts.across(t, 999)
        assert f'data-mark="{name}" transform="translate({x:.1f},0)"' in page
    assert charts.across(0, 999) == charts.LEFT
    assert charts.across(999, 999) == charts.WIDTH - charts.RIGHT


# The gallery and the record


def test_the_gallery_lists_what_fits_and_says_why_not(studio: Studio, tmp_path: Path) -> None:
    other = tiny_model(block_out_channels=(8, 12))
    write_directions(other, tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / "own" / f"other-{path.name}")
    (tmp_path / "own" / "broken.safetensors").write_bytes(b"12345678")
    (tmp_path / "own" / f"half{CHECKPOINT}").write_bytes(b"12345678")
    listing = studio.gallery.listing()
    assert list(listing.entries) == ["own: odd", "own: strange"]
    assert sorted(listing.refused) == [
        "broken.safetensors",
        "other-odd.safetensors",
        "other-strange.safetensors",
    ]
    assert str(tmp_path) not in " ".join(listing.refused.values())


def test_a_direction_that_was_replaced_is_read_anew(studio: Studio, tmp_path: Path) -> None:
    before = studio.gallery.listing().entries["own: odd"]
    assert studio.gallery.listing().entries["own: odd"].saved is before.saved
    card = DirectionCard("face", "new", 500, 300, 40, studio.model.fingerprint())
    shift = GlobalDirection(torch.zeros(studio.model.h_shape))
    save_direction(tmp_path / "own" / "odd.safetensors", shift, card)
    assert studio.gallery.listing().entries["own: odd"].title == "face → new"


def test_directions_of_the_same_texts_are_told_apart(studio: Studio, tmp_path: Path) -> None:
    (one, *_) = studio.gallery.listing().entries.values()
    shutil.copy(one.path, one.path.with_name("zebra.safetensors"))
    titles = [entry.title for entry in studio.gallery.listing().entries.values()]
    assert titles[0] == one.title
    assert titles[-1] == f"{one.title} (zebra)"
    assert len({*titles}) == len(titles)


def test_built_in_directions_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    (tmp_path / "built").mkdir()
    for name in ("built/directions", "own"):
        write_directions(model, tmp_path / name)
    monkeypatch.setattr(shipped, "DOMAINS", tmp_path)
    found = Gallery(model, tmp_path / "own").listing().entries
    assert list(found) == ["built-in: odd", "built-in: strange", "own: odd", "own: strange"]


def test_cards_show_one_face_before_and_after(studio: Studio) -> None:
    *_, shown = studio.pairs(studio.sessions.get("ann"))
    assert list(shown) == ["own: odd", "own: strange"]
    befores = [pair.before for pair in shown.values()]
    assert torch.equal(befores[0], befores[1])
    assert all(not torch.allclose(pair.before, pair.after) for pair in shown.values())
    assert len(list(studio.pairs(studio.sessions.get("bob")))) == 1  # nothing is walked again


def test_run_json_repeats_the_edit_and_names_no_path(
    studio: Studio, picture: Picture, tmp_path: Path
) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    strengths = [0.5, -1.25, *[1.0] * (SLOTS - 2)]
    asked = chosen(studio, session, "own: odd", "own: strange", strengths=strengths, seed=3)
    finish(studio.edit(session, asked))
    assert session.made is not None
    entries = studio.gallery.listing().entries
    record = plans.run_json(studio.model, session.made, entries, studio.habits.inverting)
    text = json.dumps(record, default=str)
    assert str(tmp_path) not in text
    read = json.loads(text)["options"]
    attributes = []
    for one in read["directions"]:
        saved = load_direction(tmp_path / "own" / one["file"], studio.model)
        total = one["strength"] * saved.card.strength
        attributes.append(saved.attribute(total, one["t_edit"], one["t_start"]))
    x = session.made.work.walks.x
    again = edit(studio.model, x, attributes, read["steps"], read["t_boost"], read["seed"])
    assert torch.allclose(again[0], session.made.image, atol=1e-5)
    assert read["inverting"] == {"convention": "source", "refinements": 1}


# Training


def test_a_training_that_was_stopped_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    job = Job("face", "smile", 24, 2, 0, STEPS, region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5))
    whole, broken = (new_studio(tmp_path / name, directions=False) for name in ("a", "b"))
    reports = finish(whole.train(whole.sessions.get("ann"), job))
    assert any(one.image is not None for one in reports)
    assert max(one.batches for one in reports) == 6
    session = broken.sessions.get("ann")
    for one in broken.train(session, job):
        if one.what.startswith("training: batch 3"):
            session.stop("training")
    assert session.trained is None
    assert broken.unfinished(job)
    assert list(interrupted(broken.folder)) == [job]
    finish(broken.train(broken.sessions.get("bob"), job))
    assert not broken.unfinished(job)
    assert sorted(path.suffix for path in broken.folder.iterdir()) == [".safetensors"]
    files = [paths(folder, job)[0] for folder in (whole.folder, broken.folder)]
    found = [load_direction(file, whole.model) for file in files]
    assert found[0].card == found[1].card
    assert found[0].card.region == job.region
    states = [one.direction.state_dict() for one in found]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert list(broken.gallery.listing().entries) == [f"own: {job.stem}"]


def test_words_that_are_left_out_are_told(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    read = studio.tools.encoder.text_features

    def warned(texts: Any) -> Any:
        warnings.warn("leaves 'xyzzy' out", stacklevel=1)
        return read(texts)

    monkeypatch.setattr(studio.tools.encoder, "text_features", warned)
    job = Job("face", "xyzzy smile", 8, 1, 0, STEPS)
    notes = {one.note for one in studio.train(studio.sessions.get("ann"), job)}
    assert notes == {"", "leaves 'xyzzy' out"}


def test_one_trains_at_a_time(studio: Studio) -> None:
    first = iter(studio.train(studio.sessions.get("ann"), Job("face", "smile", 8, 1, 0, STEPS)))
    next(first)
    (one,) = studio.trainings().values()
    assert "running" in one.title
    second = studio.train(studio.sessions.get("bob"), Job("face", "frown", 8, 1, 0, STEPS))
    assert next(iter(second)).what.startswith("waiting")
    studio.sessions.close("ann")
    assert list(first) == []
    assert next(iter(second)).what == "drawing faces"


@pytest.mark.parametrize(
    "job",
    [("", "smile"), ("face", " "), ("face", "x" * 300), ("face", "smile", 4), ("face", "a", 8, 0)],
)
def test_jobs_out_of_range_are_refused(job: tuple[Any, ...]) -> None:
    with pytest.raises(AsyrpError):
        Job(*job)


def test_a_region_makes_another_job_and_none_the_one_of_before() -> None:
    job = Job("face", "smile")
    assert job.stem == "smile-c1ce00a0"
    assert replace(job, region=(0, 0, 1, 0, 1, 1)).stem != job.stem
    with pytest.raises(AsyrpError, match="three corners"):
        replace(job, region=(0, 0, 1, 1))


def test_texts_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    stems = {Job("face", text).stem for text in ("../../etc/x", "..", "/", "smile", "SMILE", "äö")}
    assert len(stems) == 6
    for stem in stems:
        assert (tmp_path / f"{stem}.safetensors").resolve().parent == tmp_path.resolve()
        assert set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_random_faces_carry_their_latents(model: HSpaceUNet) -> None:
    latents, images = random_latents(model, 2, 4), from_uint8(torch.zeros(2, 16, 16, 3).numpy())
    faces = random_faces(images, latents, 4)
    assert [dict(face.origin) for face in faces] == [
        {"kind": "random", "seed": 4, "index": index} for index in range(2)
    ]
    assert torch.equal(faces[1].latent, latents[1:])  # type: ignore[arg-type]


# the server's memory


def test_a_session_keeps_the_components_of_the_page_alone() -> None:
    kept = SimpleNamespace(blocks={1: "stage", 2: "bar", 9: "stage, made anew"})
    session = SimpleNamespace(blocks_config=kept, config_values={1: {}, 9: {}})
    holder = SimpleNamespace(session_data={"ann": session})
    page: Any = SimpleNamespace(blocks={1: "stage", 2: "bar"}, state_holder=holder)
    handled = tidied(page, lambda request, value: iter([value]))
    for tab in ("ann", "a tab without a session"):
        assert list(handled(SimpleNamespace(session_hash=tab), "edit")) == ["edit"]
    assert kept.blocks == {1: "stage", 2: "bar"}
    assert session.config_values == {1: {}}


def test_a_direction_that_was_removed_meanwhile_is_told_in_a_line(
    studio: Studio, picture: Picture
) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    finish(studio.edit(session, chosen(studio, session, "own: odd")))
    assert session.made is not None
    with pytest.raises(AsyrpError, match="'own: odd' was removed"):
        plans.run_json(studio.model, session.made, {}, studio.habits.inverting)

"""Inverted images, tasks, and edits on the drawn faces."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from asyrp.domains.avatars.domain import TASKS, faces_of
from asyrp.domains.base import Domain, Images, Renderer, load_domain, task_of
from asyrp.domains.find_direction import DhRecorder, fitted, recorded
from asyrp.domains.inverted_images import (
    Generators,
    InvertedImages,
    batched,
    edited,
    inverted,
    lacking,
    load_inverted,
    save_inverted,
)
from asyrp.editing_methods.image_guidance import strokes
from asyrp.errors import AsyrpError
from asyrp.experiments.distance_to_target import shares_of_distance
from asyrp.experiments.measure import judged
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import Step, seeded_generators
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit
from asyrp.method.editing_interval import EditInterval
from asyrp.method.schedule import paper_grid
from asyrp.metrics.answers import leaked
from asyrp.settings import TrainSettings
from conftest import noise

pytest.importorskip("resvg_py")

STEPS = 8


SETTINGS = TrainSettings(steps=STEPS, epochs=1, batch_size=2)


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain("avatars-64")


@pytest.fixture(scope="module")
def faces(domain: Domain) -> InvertedImages:
    return inverted(domain.model, domain.images("test", 5), 600, STEPS)


def test_ten_tasks_are_compared_of_which_two_are_unseen(domain: Domain) -> None:
    assert [t.name for t in TASKS.values() if t.unseen] == ["blue", "green"]
    assert sum(task.compared for task in TASKS.values()) == 10
    with pytest.raises(AsyrpError, match="unknown task 'x'"):
        task_of(domain, "x")


def test_faces_that_lack_a_value_show_the_factor(domain: Domain) -> None:
    images = Images("test", tuple(range(40)), torch.zeros(40, 0))
    drawn = faces_of(images)
    for task in TASKS.values():
        rows = domain.lacking(images, task)
        assert rows
        labels = {drawn[row].label(task.attribute) for row in rows}
        assert not labels & {None, task.value}


def test_inverted_images_lead_back_to_its_faces(domain: Domain, faces: InvertedImages) -> None:
    assert faces.at in [pair.t for pair in paper_grid(STEPS)]
    assert faces.at <= 600
    assert [pair.t for pair in faces.grid()] == [
        pair.t for pair in paper_grid(STEPS) if pair.t <= faces.at
    ]
    assert (faces.reconstructions - faces.images).square().mean() < 0.02
    again = edited(domain.model, faces, [])
    assert torch.allclose(again, faces.reconstructions, atol=1e-4)


def test_inverted_images_come_back_from_their_file(tmp_path: Path, faces: InvertedImages) -> None:
    save_inverted(tmp_path / "s.safetensors", faces)
    kept = load_inverted(tmp_path / "s.safetensors")
    assert kept[:4] == faces[:4]
    assert all(torch.equal(a, b) for a, b in zip(kept[4:], faces[4:], strict=True))
    (tmp_path / "s.safetensors").write_bytes(b"no")
    with pytest.raises(AsyrpError, match="holds no images"):
        load_inverted(tmp_path / "s.safetensors")


def test_rows_and_lacking_choose_faces(domain: Domain, faces: InvertedImages) -> None:
    few = faces.rows([3, 1])
    assert few.numbers == (3, 1)
    assert torch.equal(few.images[0], faces.images[3])
    task = task_of(domain, "smiling")
    rows = domain.lacking(faces.clean, task)
    assert lacking(domain, faces, task, len(rows)).numbers == tuple(rows)
    with pytest.raises(AsyrpError, match="needs 6 images"):
        lacking(domain, faces, task, 6)


def saved_of(domain: Domain, dh: torch.Tensor) -> SavedDirection:
    card = DirectionCard("face", "smiling face", 200, 0, STEPS, "x", t_start=600)
    return SavedDirection(GlobalDirection(dh), card)


@torch.no_grad()
def test_an_edit_from_the_middle_scales_dh_as_a_whole_walk_does(
    domain: Domain, faces: InvertedImages
) -> None:
    """`api.edit` walks the whole grid; these only its lower part, with the same dose a step."""
    act = saved_of(domain, 0.3 * noise(*domain.model.h_shape)).attribute(1.3)
    x, wanted = faces.latents, paper_grid(STEPS)
    seen = []
    for pair in wanted:
        if pair.t > faces.at:
            continue
        encoded = domain.model.encode(x, pair.t)
        eps = eps_x0 = domain.model.decode(encoded)
        if pair.t >= 200:
            eps_x0 = domain.model.decode(encoded, encoded.h + 1.3 * act.direction(encoded.h, x, 0))
        from asyrp.method.ddim import step

        x = step(x, eps_x0, eps, domain.model.schedule, pair).x
        seen.append(pair.t)
    assert torch.allclose(edited(domain.model, faces, [act]), x, atol=1e-4)
    top = domain.model.schedule.length - 1
    whole = inverted(domain.model, domain.images("test", 1), top, STEPS)
    ours = edited(domain.model, whole, [act])
    assert torch.allclose(ours, edit(domain.model, whole.latents, [act], STEPS), atol=1e-5)


@torch.no_grad()
def test_a_faces_noise_is_its_own_whatever_its_neighbours(
    domain: Domain, faces: InvertedImages
) -> None:
    def walk(x: torch.Tensor, rows: slice, generators: Generators) -> list[Step]:
        drawn = torch.stack([torch.randn(3, generator=g) for g in generators])
        return [Step(0, -1, drawn, drawn)]

    whole = batched(faces, walk)
    assert torch.equal(whole[[3, 1]], batched(faces.rows([3, 1]), walk))
    assert not torch.equal(whole[0], whole[1])
    act = Attribute(GlobalDirection(torch.zeros(domain.model.h_shape)), 200, trained_steps=STEPS)
    few = faces.rows([2])
    boosted = edited(domain.model, few, [act], 150)
    x = few.latents
    for done in reverse_process(
        domain.model, x, few.grid(), [act], 150, seeded_generators(1, 0, 2)
    ):
        x = done.x
    assert torch.equal(boosted, x)


def test_training_gives_a_direction_with_the_phases_on_its_card(
    domain: Domain, faces: InvertedImages
) -> None:
    interval, few = EditInterval(600, 200, 100), faces.rows([0, 1])
    saved = fitted(domain, task_of(domain, "smiling"), interval, few, SETTINGS).saved
    assert (saved.card.t_start, saved.card.t_edit, saved.card.t_boost) == (600, 200, 100)
    assert saved.card.trained_steps == STEPS
    assert not any(p.requires_grad for p in saved.direction.parameters())
    table = recorded(domain, faces.rows([0, 1]), saved)
    assert all(200 <= t <= 600 for t in table)
    assert {tuple(rows.shape) for rows in table.values()} == {(2, *domain.model.h_shape)}


def test_a_recorder_keeps_what_it_answers() -> None:
    record = DhRecorder(lambda h, emb, t: h + t)
    h = noise(2, 3, 4, 4)
    assert torch.equal(record(h, h, 5), h + 5)
    record(h[:1], h, 5)
    assert torch.equal(record.table[5], torch.cat([h, h[:1]]) + 5)


def test_judging_a_drawn_target(domain: Domain, faces: InvertedImages) -> None:
    task = task_of(domain, "smiling")
    rows = faces.rows(domain.lacking(faces.clean, task))
    for drawn in cast(Renderer, domain).rendered_targets(rows.clean, task):
        found = judged(domain, task, rows, drawn)
        assert found["success"].tolist() == found["clean"].tolist() == [1.0] * len(drawn)
        assert np.nansum(found["leakage"]) == 0
    assert np.nansum(leaked({"a": np.zeros(3)}, "b")) == 0


def test_every_part_of_a_value_is_as_good_a_target(domain: Domain, faces: InvertedImages) -> None:
    task = task_of(domain, "smiling")
    rows = faces.rows(domain.lacking(faces.clean, task)[:2])
    targets = list(cast(Renderer, domain).rendered_targets(rows.clean, task))
    assert len(targets) == 3
    for drawn in targets:
        assert shares_of_distance(domain, task, rows, drawn) == pytest.approx(1)
    assert shares_of_distance(domain, task, rows, rows.images) == pytest.approx(0)


def test_strokes_are_rough_but_show_the_target(domain: Domain) -> None:
    images = domain.images("test", 1)
    drawn, *_ = cast(Renderer, domain).rendered_targets(images, task_of(domain, "green"))
    painting = strokes(drawn[0])
    assert painting.shape == (3, 64, 64)
    colours = {tuple(c) for c in painting.flatten(1).T.tolist()}
    assert len(colours) <= 8
    skin = painting[:, 20:44, 20:44].mean((1, 2))
    assert skin.argmax() == 1

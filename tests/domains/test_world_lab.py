"""Scenes, tasks, and edits on the built-in world's bench."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from asyrp.domains.lab import (
    Generators,
    Lab,
    Recording,
    batched,
    edited,
    judged,
    open_lab,
    recorded,
    train_direction,
)
from asyrp.domains.scenes import Scene, load_scene, new_scene, save_scene
from asyrp.domains.tasks import TASKS, lacking, task_of
from asyrp.editing_methods.trained import STRENGTHS, strokes

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit
from asyrp.method.schedule import paper_grid
from asyrp.metrics.answers import leaked
from asyrp.settings import TrainSettings
from conftest import noise

pytest.importorskip("resvg_py")

STEPS = 8


@pytest.fixture(scope="module")
def lab() -> Lab:
    return open_lab(replace(TrainSettings(), steps=STEPS, epochs=1, batch_size=2))


@pytest.fixture(scope="module")
def scene(lab: Lab) -> Scene:
    return new_scene(lab.model, "test", 5, 600, STEPS)


def test_ten_tasks_of_which_two_are_unseen() -> None:
    assert [t.name for t in TASKS.values() if t.unseen] == ["blue", "green"]
    assert len(TASKS) == 10
    with pytest.raises(AsyrpError, match="unknown task 'x'"):
        task_of("x")


def test_faces_that_lack_a_value_show_the_factor() -> None:
    faces = [sample_face("test", i) for i in range(40)]
    for task in TASKS.values():
        rows = lacking(faces, task)
        assert rows
        labels = {faces[row].label(task.factor) for row in rows}
        assert not labels & {None, task.value}


def test_a_scene_leads_back_to_its_faces(lab: Lab, scene: Scene) -> None:
    assert scene.at in [pair.t for pair in paper_grid(STEPS)]
    assert scene.at <= 600
    assert [pair.t for pair in scene.grid()] == [
        pair.t for pair in paper_grid(STEPS) if pair.t <= scene.at
    ]
    assert (scene.reconstructions - scene.images).square().mean() < 0.02
    again = edited(lab.model, scene, [])
    assert torch.allclose(again, scene.reconstructions, atol=1e-4)


def test_a_scene_comes_back_from_its_file(tmp_path: Path, scene: Scene) -> None:
    save_scene(tmp_path / "s.safetensors", scene)
    kept = load_scene(tmp_path / "s.safetensors")
    assert kept[:4] == scene[:4]
    assert all(torch.equal(a, b) for a, b in zip(kept[4:], scene[4:], strict=True))
    (tmp_path / "s.safetensors").write_bytes(b"no")
    with pytest.raises(AsyrpError, match="holds no faces"):
        load_scene(tmp_path / "s.safetensors")


def test_rows_and_lacking_choose_faces(scene: Scene) -> None:
    few = scene.rows([3, 1])
    assert few.numbers == (3, 1)
    assert torch.equal(few.images[0], scene.images[3])
    task = task_of("smiling")
    rows = lacking(scene.faces, task)
    assert scene.lacking(task, len(rows)).numbers == tuple(rows)
    with pytest.raises(AsyrpError, match="needs 6 faces"):
        scene.lacking(task, 6)


def saved_of(lab: Lab, dh: torch.Tensor) -> SavedDirection:
    card = DirectionCard("face", "smiling face", 200, 0, STEPS, "x", t_start=600)
    return SavedDirection(GlobalDirection(dh), card)


@torch.no_grad()
def test_an_edit_from_the_middle_scales_dh_as_a_whole_walk_does(lab: Lab, scene: Scene) -> None:
    """`api.edit` walks the whole grid; a scene only its lower part, with the same dose a step."""
    act = saved_of(lab, 0.3 * noise(*lab.model.h_shape)).attribute(1.3)
    x, wanted = scene.latents, paper_grid(STEPS)
    seen = []
    for pair in wanted:
        if pair.t > scene.at:
            continue
        encoded = lab.model.encode(x, pair.t)
        eps = eps_x0 = lab.model.decode(encoded)
        if pair.t >= 200:
            eps_x0 = lab.model.decode(encoded, encoded.h + 1.3 * act.direction(encoded.h, x, 0))
        from asyrp.method.ddim import step

        x = step(x, eps_x0, eps, lab.model.schedule, pair).x
        seen.append(pair.t)
    assert torch.allclose(edited(lab.model, scene, [act]), x, atol=1e-4)
    top = lab.model.schedule.length - 1
    whole = new_scene(lab.model, "test", 1, top, STEPS)
    ours = edited(lab.model, whole, [act])
    assert torch.allclose(ours, edit(lab.model, whole.latents, [act], STEPS), atol=1e-5)


@torch.no_grad()
def test_a_faces_noise_is_its_own_whatever_its_neighbours(lab: Lab, scene: Scene) -> None:
    def editing(x: torch.Tensor, rows: slice, generators: Generators) -> torch.Tensor:
        return torch.stack([torch.randn(3, generator=g) for g in generators])

    whole = batched(scene, editing)
    assert torch.equal(whole[[3, 1]], batched(scene.rows([3, 1]), editing))
    assert not torch.equal(whole[0], whole[1])
    act = Attribute(GlobalDirection(torch.zeros(lab.model.h_shape)), 200, trained_steps=STEPS)
    few = scene.rows([2])
    boosted = edited(lab.model, few, [act], 150)
    x = few.latents
    for done in reverse_process(lab.model, x, few.grid(), [act], 150, seeded_generators(1, 0, 2)):
        x = done.x
    assert torch.equal(boosted, x)


def test_training_gives_a_direction_with_the_phases_on_its_card(lab: Lab, scene: Scene) -> None:
    from asyrp.method.editing_interval import EditInterval

    saved = train_direction(
        lab, task_of("smiling"), EditInterval(600, 200, 100), scene.rows([0, 1])
    )
    assert (saved.card.t_start, saved.card.t_edit, saved.card.t_boost) == (600, 200, 100)
    assert saved.card.trained_steps == STEPS
    assert not any(p.requires_grad for p in saved.direction.parameters())
    table = recorded(lab, scene.rows([0, 1]), saved)
    assert all(200 <= t <= 600 for t in table)
    assert {tuple(rows.shape) for rows in table.values()} == {(2, *lab.model.h_shape)}


def test_recording_keeps_what_it_answers() -> None:
    record = Recording(lambda h, emb, t: h + t)
    h = noise(2, 3, 4, 4)
    assert torch.equal(record(h, h, 5), h + 5)
    record(h[:1], h, 5)
    assert torch.equal(record.table[5], torch.cat([h, h[:1]]) + 5)


def test_judging_a_drawn_answer(lab: Lab, scene: Scene) -> None:
    from asyrp.domains.avatars.diffusion import to_unit

    task = task_of("smiling")
    rows = scene.rows(lacking(scene.faces, task))
    answers = [draw(face.replaced(task.factor, task.value)) for face in rows.faces]
    found = judged(lab, task, rows, to_unit(np.stack(answers)))
    assert found["success"].tolist() == found["clean"].tolist() == [1.0] * len(answers)
    assert np.nansum(found["leakage"]) == 0
    assert np.nansum(leaked({"a": np.zeros(3)}, "b")) == 0


def test_strokes_are_rough_but_show_the_answer() -> None:
    face, task = sample_face("test", 0), task_of("green")
    painting = strokes(face, task)
    assert painting.shape == (3, 64, 64)
    colours = {tuple(c) for c in painting.flatten(1).T.tolist()}
    assert len(colours) <= 8
    skin = painting[:, 20:44, 20:44].mean((1, 2))
    assert skin.argmax() == 1
    assert len(STRENGTHS) == 4

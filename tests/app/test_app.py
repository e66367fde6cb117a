"""The page's logic, without a browser: what is walked, what is kept apart, what is let in."""

import threading
from functools import cache
from typing import Any

import pytest
import torch

from app_doubles import GRID, STEPS, chosen, finish, values
from asyrp.app.jobs import Job
from asyrp.app.pictures import Picture
from asyrp.app.plans import Controls, Dosage, controls, own_marks, plan_of
from asyrp.app.sessions import SLOTS, Marks, assign
from asyrp.app.studio import FACTORS, Studio
from asyrp.app.trajectories import Dose, Plan, Walks
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import GlobalDirection
from asyrp.method.editing import edit, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.runtime.generators import Running
from conftest import noise


@cache
def shift(shape: tuple[int, ...], seed: int) -> GlobalDirection:
    return GlobalDirection(noise(*shape, seed=seed)).requires_grad_(False)


def doses(model: HSpaceUNet, strength: float) -> tuple[Dose, ...]:
    one, two = (shift(model.h_shape, seed) for seed in (1, 2))
    return (
        Dose("one", Attribute(one, 400, strength, STEPS, 700)),
        Dose("two", Attribute(two, 500, -0.5, STEPS, 600)),
    )


# What is walked


def test_kept_walks_lead_to_the_picture_of_a_whole_walk(model: HSpaceUNet) -> None:
    x = noise(1, *model.image_shape, seed=3)
    walks = Walks(model, GRID, x)
    sequence = [(0.0, 0, 0), (1.0, 300, 0), (-2.0, 300, 0), (-2.0, 300, 5), (-2.0, 120, 5)]
    for strength, t_boost, seed in [*sequence, *reversed(sequence)]:
        given = doses(model, strength) if strength else ()
        walked = Running(walks.walk(Plan(given, t_boost, seed)))
        finish(walked)
        attributes = [dose.attribute for dose in given]
        wanted = edit(model, x, attributes, STEPS, t_boost, seed)
        assert torch.allclose(walked.value, wanted, atol=1e-5), (strength, t_boost, seed)


def test_a_walk_begins_where_it_differs_from_a_kept_one(model: HSpaceUNet) -> None:
    walks = Walks(model, GRID, noise(1, *model.image_shape, seed=3))

    def walked(*plan: Any) -> list[int]:
        return [done.t for done in walks.walk(Plan(*plan))]

    assert walked(()) == [pair.t for pair in GRID]
    assert walked(doses(model, 1.0), 300)[0] == 666  # the first below t_start = 700
    assert walked(doses(model, 2.0), 300)[0] == 666
    assert walked(doses(model, 2.0), 300, 1)[0] == 222  # another seed: the first with noise
    assert walked(doses(model, 2.0), 200, 1)[0] == 222
    assert walked(doses(model, 2.0), 200, 1) == []
    assert walked(()) == []


def test_a_direction_that_was_replaced_is_walked_anew(model: HSpaceUNet) -> None:
    x = noise(1, *model.image_shape, seed=3)
    walks = Walks(model, GRID, x)
    first, second = (Attribute(shift(model.h_shape, seed), 400, 1.0, STEPS) for seed in (1, 2))
    finish(walks.walk(Plan((Dose("own: smile", first),))))
    again = Running(walks.walk(Plan((Dose("own: smile", second),))))
    finish(again)
    assert torch.allclose(again.value, edit(model, x, [second], STEPS), atol=1e-5)


def test_a_walk_that_was_dropped_is_continued(model: HSpaceUNet) -> None:
    x = noise(1, *model.image_shape, seed=3)
    walks, plan = Walks(model, GRID, x), Plan(doses(model, 1.0), 300, 4)
    for done in walks.walk(plan):
        if done.t <= 222:
            break
    rest = Running(walks.walk(plan))
    assert [done.t for done in rest] == [111, 0]
    wanted = edit(model, x, [dose.attribute for dose in plan.doses], STEPS, 300, 4)
    assert torch.allclose(rest.value, wanted, atol=1e-5)


@pytest.mark.parametrize("t_boost", [0, 300])
def test_a_strip_holds_the_edit_at_each_factor(model: HSpaceUNet, t_boost: int) -> None:
    x = noise(1, *model.image_shape, seed=3)
    walks, plan = Walks(model, GRID, x), Plan(doses(model, 0.7), t_boost, 2)
    finish(walks.walk(Plan()))
    walked = Running(walks.strip(plan, FACTORS))
    assert next(iter(walked)).t == 666
    finish(walked := Running(walks.strip(plan, FACTORS)))
    for factor, found in zip(FACTORS, walked.value, strict=True):
        attributes = [
            Attribute(a.direction, a.t_edit, factor * a.strength, STEPS, a.t_start)
            for _, a in plan.doses
        ]
        wanted = edit(model, x, attributes, STEPS, t_boost, 2)[0]
        assert torch.allclose(found, wanted, atol=1e-5), factor


# From controls to plans


def test_marks_are_the_cards_until_they_are_moved(studio: Studio) -> None:
    entries = studio.gallery.listing().entries
    given = [Dosage(entries["own: strange"], 0.5), Dosage(entries["own: odd"], -1.0)]
    own = own_marks([one.entry for one in given], studio.top)
    assert own == Marks(999, 400, 150)

    def intervals(marks: Marks) -> list[tuple[int | None, int]]:
        plan = plan_of(given, Controls((), marks, True, 0), studio.top)
        return [(d.attribute.t_start, d.attribute.t_edit) for d in plan.doses]

    assert intervals(own) == [(700, 400), (None, 500)]
    assert intervals(own._replace(t_edit=450)) == [(700, 450), (None, 450)]
    assert intervals(own._replace(t_start=600)) == [(600, 400), (600, 500)]
    assert intervals(own._replace(t_start=300)) == [(400, 400), (500, 500)]


def test_strengths_multiply_the_dose_of_the_card(studio: Studio) -> None:
    entries = studio.gallery.listing().entries
    given = [Dosage(entries["own: odd"], -1.5), Dosage(entries["own: strange"], 0.0)]
    plan = plan_of(given, Controls((), Marks(999, 500, 900), True, 7), studio.top)
    assert [(d.key, d.attribute.strength) for d in plan.doses] == [("own: odd", -3.0)]
    assert (plan.t_boost, plan.seed) == (500, 7)  # a mark above t_edit counts as t_edit
    assert plan_of(given, Controls((), Marks(999, 500, 300), False, 7), studio.top).t_boost == 0


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"seed": None},
        {"seed": 2**40},
        {"strengths": [float("nan")] * SLOTS},
        {"strengths": [1e9] * SLOTS},
        {"marks": ["x", 0, 0]},
    ],
)
def test_controls_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(AsyrpError):
        controls(values(**change))


def test_directions_keep_their_slot() -> None:
    slots = assign((None,) * 3, ["a", "b"])
    assert slots == ("a", "b", None)
    assert assign(slots, ["b", "c"]) == ("c", "b", None)
    assert assign(slots, ["d", "c", "b", "a"]) == ("a", "b", "d")


# Sessions


def test_two_people_do_not_mix_up_their_pictures(studio: Studio) -> None:
    sessions = [studio.sessions.get(name) for name in ("ann", "bob")]
    pictures = [
        Picture(f"face {seed}", noise(*studio.model.image_shape, seed=seed)) for seed in (1, 2)
    ]
    opening = [studio.open(s, p) for s, p in zip(sessions, pictures, strict=True)]
    for _ in zip(*opening, strict=True):  # step by step in turn
        pass
    given = [chosen(studio, sessions[0], "own: odd"), chosen(studio, sessions[1], "own: strange")]
    edits = [studio.edit(s, v) for s, v in zip(sessions, given, strict=True)]
    for steps in reversed([*edits]):
        next(steps)
    finish(edits[0])
    finish(edits[1])
    for session, picture, key in zip(sessions, pictures, ("own: odd", "own: strange"), strict=True):
        assert session.made is not None
        assert session.made.work.picture is picture
        attribute = studio.gallery.listing().entries[key].saved.attribute()
        x, boost = session.made.work.walks.x, session.made.plan.t_boost
        wanted = edit(studio.model, x, [attribute], STEPS, boost)[0]
        assert torch.allclose(session.made.image, wanted, atol=1e-5)


def test_a_closed_tab_stops_its_work(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    jobs = [
        studio.measure(session),  # first: it waits while an edit walks
        studio.edit(session, chosen(studio, session, "own: odd")),
        studio.strip(session, chosen(studio, session, "own: odd")),
        studio.train(session, Job("face", "smile", 8, 1, 0, STEPS)),
        studio.pairs(session),
    ]
    for job in jobs:
        next(iter(job))
    studio.sessions.close("ann")
    assert [finish(job) for job in jobs] == [[]] * len(jobs)
    assert session.work is None
    assert session.made is None
    assert studio.sessions.get("ann") is not session


def test_a_new_strength_ends_the_walk_of_the_old_one(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    first = chosen(studio, session, "own: odd")
    walking = iter(studio.edit(session, first))
    next(walking)
    studio.want(session, first)  # the same again: it goes on
    next(walking)
    studio.want(session, [0.5, *first[1:]])
    assert list(walking) == []
    assert session.made is None


def test_an_edit_needs_a_picture_and_a_strip_a_direction(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    with pytest.raises(AsyrpError, match="needed a picture"):
        finish(studio.edit(session, values()))
    finish(studio.open(session, picture))
    with pytest.raises(AsyrpError, match="needs a direction"):
        finish(studio.strip(session, values()))


def test_random_faces_are_opened_without_inversion(studio: Studio) -> None:
    session = studio.sessions.get("ann")
    finish(studio.draw(session, 5))
    assert [face.number for face in session.faces] == list(range(len(session.faces)))
    assert {one.what for one in studio.open(session, session.faces[2])} == {"reconstructing"}
    assert session.work is not None
    assert torch.equal(session.work.walks.x, random_latents(studio.model, 3, 5)[2:])
    assert session.work.error < 1e-6


def test_measuring_waits_while_an_edit_walks(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    walking = iter(studio.edit(session, chosen(studio, session, "own: odd")))
    next(walking)
    measuring = threading.Thread(target=lambda: finish(studio.measure(session)))
    measuring.start()
    measuring.join(0.3)
    assert measuring.is_alive()
    finish(walking)
    measuring.join(20)
    assert session.curves is not None


def test_curves_are_those_of_the_picture(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    finish(studio.measure(session))
    assert session.curves is not None
    assert session.work is not None
    steps = session.work.walks.plain.steps
    assert session.curves.times == tuple(sorted(done.t for done in steps))
    last = (picture.image - steps[-1].x0[0]).abs().mean()  # P_t at the lowest t comes first
    assert session.curves.x0[0, 0] == pytest.approx(float(last), abs=1e-6)
    start = (picture.image - session.work.walks.x[0]).abs().mean()
    assert session.curves.xt[-1, 0] == pytest.approx(float(start), abs=1e-6)

"""What `asyrp train --domain` takes from the tasks of the domain."""

from dataclasses import replace
from pathlib import Path

import pytest

from asyrp.commands.train_on_domain import on_tasks, tasks_of, texts_to_keep
from asyrp.domains.photographs.domain import EYES, INTERVAL, MOUTH
from asyrp.errors import AsyrpError
from asyrp.options.editing import Train
from asyrp.options.shared import Network
from asyrp.settings import TrainSettings

PHOTOGRAPHS = Network(domain="photographs-64")
SMILING = Train("face", ("smiling face",), Path("out"), network=PHOTOGRAPHS)


def test_the_interval_is_the_tasks_own_unless_another_is_asked_for() -> None:
    tasks = tasks_of(SMILING)
    found = on_tasks(SMILING, tasks)
    assert (found.t_start, found.t_edit, found.t_boost) == (INTERVAL.t_start, INTERVAL.t_edit, 0)
    found = on_tasks(replace(SMILING, t_edit=200), tasks)
    assert (found.t_start, found.t_edit) == (INTERVAL.t_start, 200)
    with pytest.raises(AsyrpError, match="t_edit"):
        on_tasks(replace(SMILING, t_edit=600), tasks)  # above the tasks' t_start
    for other in (
        replace(SMILING, recipe="paper"),
        replace(SMILING, network=Network(domain="avatars-64")),  # read off LPIPS curves
        replace(SMILING, network=Network()),
    ):
        assert on_tasks(other, tasks_of(other)).t_start is None


def test_bound_is_the_region_of_the_task() -> None:
    tasks = tasks_of(SMILING)
    assert on_tasks(SMILING, tasks).training.region == ()
    bound = replace(SMILING, bound=True)
    assert on_tasks(bound, tasks).training.region == MOUTH
    same = replace(bound, target=("smiling face", "face with an open mouth"))
    assert on_tasks(same, tasks).training.region == MOUTH
    assert on_tasks(replace(bound, target=("person with glasses",)), tasks).training.region == EYES


@pytest.mark.parametrize("targets", [("woman",), ("grinning",), ("smiling face", "bald person")])
def test_what_has_no_one_region_is_not_bound(targets: tuple[str, ...]) -> None:
    asked = replace(SMILING, bound=True, target=targets)
    with pytest.raises(AsyrpError, match="--bound needs a target that --domain knows the place of"):
        on_tasks(asked, tasks_of(asked))
    with pytest.raises(AsyrpError, match="known: none"):
        on_tasks(replace(asked, network=Network()), {})


def test_two_regions_are_refused() -> None:
    asked = replace(SMILING, bound=True, training=TrainSettings(region=EYES))
    with pytest.raises(AsyrpError, match="needed one of them"):
        on_tasks(asked, tasks_of(asked))


def test_what_to_keep_is_of_the_domain() -> None:
    asked = replace(SMILING, keep=("person with a scarf",), keep_others=True)
    kept = texts_to_keep(asked, tasks_of(asked), "smiling face")
    assert kept[0] == "person with a scarf"
    assert {"person with glasses", "old person"} <= {*kept}
    along = {"smiling face", "serious face", "face with an open mouth"}  # it, and what goes with it
    assert not along & {*kept}
    with pytest.raises(AsyrpError, match="needs a target of a task of --domain; got 'grinning'"):
        texts_to_keep(asked, tasks_of(asked), "grinning")
    drawn = replace(asked, network=Network())
    assert "a face with sunglasses" in texts_to_keep(drawn, {}, "smiling face")
    assert texts_to_keep(replace(asked, keep_others=False), {}, "smiling face") == asked.keep

"""Sessions of the page: what ends with what, and who makes room for whom."""

from dataclasses import replace

from app_doubles import STEPS, chosen, finish
from asyrp.app.pictures import Picture
from asyrp.app.sessions import Sessions
from asyrp.app.studio import Studio


def test_a_new_picture_ends_what_is_done_with_the_old_one(studio: Studio, picture: Picture) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    given = chosen(studio, session, "own: odd")
    begun = [iter(studio.measure(session)), iter(studio.strip(session, given))]
    for one in begun:
        next(one)
    finish(studio.open(session, replace(picture, name="another")))
    assert [list(one) for one in begun] == [[], []]
    assert session.curves is None
    assert session.strip is None


def test_a_strip_of_what_the_controls_no_longer_say_is_not_kept(
    studio: Studio, picture: Picture
) -> None:
    session = studio.sessions.get("ann")
    finish(studio.open(session, picture))
    given = chosen(studio, session, "own: odd")
    strip = studio.strip(session, given)
    for _ in range(STEPS // 2):
        next(strip)
    studio.want(session, given)  # the same again: it goes on
    next(strip)
    finish(studio.edit(session, [0.5, *given[1:]]))
    assert list(strip) == []
    assert session.strip is None


def test_the_tab_that_trains_is_the_last_to_make_room() -> None:
    sessions = Sessions(2)
    training, idle = sessions.get("a"), sessions.get("b")
    training.begin("training", 1)
    sessions.get("c")
    assert (training.closed, idle.closed) == (False, True)
    sessions.get("c").begin("training", 2)
    assert not sessions.get("d").closed
    assert len(sessions) == 2


def test_the_tab_idle_longest_makes_room() -> None:
    sessions = Sessions(2)
    first, second = sessions.get("a"), sessions.get("b")
    sessions.get("a")
    sessions.get("c")
    assert (first.closed, second.closed, len(sessions)) == (False, True, 2)

"""A small part of the spoilt files of `make faults`; tests/faults makes and reads them."""

import re
from pathlib import Path

import pytest

from faults import configs
from faults.kinds import KINDS, Kind
from faults.pickled import CANARY, hostile_pickles, spells
from faults.pictures import LARGEST, large
from faults.watch import SECONDS, Late, files_of, read_one

FEW = 100


@pytest.mark.parametrize("kind", KINDS, ids=[re.sub(r"\W+", "-", kind.name) for kind in KINDS])
def test_spoilt_files_are_read_or_refused_in_a_line(kind: Kind) -> None:
    slow = 25 if kind.name.endswith("folder") else FEW
    verdicts = [read_one(kind, n, files_of(kind, n, seed=1)) for n in range(slow)]
    assert [(v.number, v.fault) for v in verdicts if v.fault] == []
    assert sum(v.refused for v in verdicts) > slow // 4
    assert max(v.seconds for v in verdicts) < SECONDS / 2


@pytest.mark.parametrize("kind", configs.kinds(), ids=lambda kind: re.sub(r"\W+", "-", kind.name))
def test_a_number_that_cannot_be_is_read_or_refused_in_a_line(kind: Kind) -> None:
    """A part of all; `make faults` has the rest."""
    numbers = range(len(kind.name) % 5, kind.listed, max(1, kind.listed // 9))
    verdicts = [read_one(kind, n, files_of(kind, n)) for n in numbers]
    told = [(configs.said_of(kind.name, v.number), v.fault) for v in verdicts if v.fault]
    assert not told


def test_the_numbers_of_every_class_of_configs_are_found() -> None:
    for name, least in (("UNet2DModel", 15), ("CLIPModel", 15), ("schedulers", 100)):
        assert len(configs.places(name)) > least
    assert configs.places("VQModel")[0].file == "vqvae/config.json"


def test_the_files_of_a_number_are_the_same_at_every_call() -> None:
    for kind in KINDS:
        assert files_of(kind, 3) == files_of(kind, 3)
        assert len({str(files_of(kind, n)) for n in range(8)}) > 4


def test_the_watch_sees_what_it_watches_for() -> None:
    """Code that runs, another exception, ten seconds."""

    def touching(path: Path) -> None:
        CANARY.touch()

    def wrong(path: Path) -> None:
        raise KeyError("x")

    def late(path: Path) -> None:
        raise Late

    found = [read_one(Kind("k", None, read), 0, {"a": b""}).fault  # type: ignore[arg-type]
             for read in (touching, wrong, late)]  # fmt: skip
    assert found[0] == "RAN CODE"
    assert found[1].startswith("KeyError: 'x' (test_fuzz.py")
    assert found[2].startswith("took more than 10 s")
    assert not CANARY.exists()


@pytest.mark.parametrize("number", [1, 2], ids=["RGBA", "grey of 16 bits"])
def test_the_largest_pictures_take_less_than_a_gigabyte(number: int) -> None:
    """Those that took most; the rest in `make faults`."""
    kind = next(kind for kind in KINDS if kind.name == "PNG")
    found = read_one(kind, number, {"a.png": large(*LARGEST[number])})
    assert (found.fault, found.refused) == ("", False)


def test_hostile_pickles_are_many() -> None:
    assert len(hostile_pickles()) + len(spells()) > 25

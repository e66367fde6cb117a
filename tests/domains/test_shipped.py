"""Directions by name."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from asyrp.cli import main
from asyrp.commands import directions
from asyrp.domains import shipped
from asyrp.domains.shipped import direction_file, load_named
from asyrp.errors import AsyrpError
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import GlobalDirection
from conftest import tiny_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two domains' directions called smiling, of which one is the tiny network's."""
    model = tiny_model()
    for domain, fingerprint in (("avatars", "another"), ("photographs", model.fingerprint())):
        card = DirectionCard("face", "smiling face", 500, 0, 20, fingerprint)
        place = tmp_path / domain / "directions"
        place.mkdir(parents=True)
        shift = GlobalDirection(torch.ones(model.h_shape))
        save_direction(place / "smiling.safetensors", shift, card)
    monkeypatch.setattr(shipped, "DOMAINS", tmp_path)
    return tmp_path


def test_a_name_is_the_direction_of_this_network(folder: Path) -> None:
    found = load_named(Path("smiling"), tiny_model())
    assert found.card.fingerprint == tiny_model().fingerprint()


def test_an_unknown_name_is_answered_with_those_there_are(folder: Path) -> None:
    with pytest.raises(AsyrpError, match=r"no direction 'smilling'.*\(smiling\)"):
        direction_file(Path("smilling"), tiny_model())


def test_a_file_comes_before_a_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("smiling").write_bytes(b"")
    assert direction_file(Path("smiling"), tiny_model()) == Path("smiling")
    assert direction_file(Path("gone.safetensors"), tiny_model()) == Path("gone.safetensors")


def test_the_list_names_each_with_its_domain(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["directions", "--domain", "photographs-64"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:2] == ["photographs-64", "smiling"]


def test_a_strip_of_each_shows_more_of_it_from_row_to_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directions, "load_model", lambda name: tiny_model())
    out = tmp_path / "strips"
    assert main(["directions", "--domain", "photographs-64", "--out", str(out)]) == 0
    sheet = np.asarray(Image.open(out / "photographs-64-smiling.png")).astype(float)
    rows = np.split(sheet, 1 + len(shipped.FACTORS))
    changes = [float(np.square(row - rows[0]).mean()) for row in rows[1:]]
    assert 0 < changes[0] < changes[1] < changes[2]


def test_a_strip_replaces_no_file_of_others(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "strips" / "photographs-64-smiling.png"
    other.parent.mkdir()
    other.write_bytes(b"mine")
    assert main(["directions", "--domain", "photographs-64", "--out", str(other.parent)]) == 2
    assert other.read_bytes() == b"mine"

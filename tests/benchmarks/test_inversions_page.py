"""The page of inversions: every way on a domain, and going on where it was."""

from pathlib import Path
from typing import Any

import pytest

import inversions
from asyrp.method.direction_file import DirectionCard, SavedDirection
from asyrp.method.directions import GlobalDirection
from conftest import noise
from inversions import WAYS, Bench, Options, main
from shapes.domain import load


def test_every_way_has_a_row_on_a_domain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    domain = load()
    card = DirectionCard("", "", 200, 50, 4, "", t_start=999)
    direction = SavedDirection(GlobalDirection(0.1 * noise(*domain.model.h_shape)), card)

    def bench(name: str, options: Options) -> Bench:
        return Bench(domain, domain.images("test", 2).x, direction, options)

    monkeypatch.setattr(inversions, "bench", bench)
    options: dict[str, Any] = {"out": tmp_path / "page.md", "kept": tmp_path / "kept", "faces": 2}
    options |= {"steps": 4, "domains": ("one", "two"), "task": "red"}
    main(Options(**options, most=1))
    assert "Not measured yet: ddim --refinements 1, " in (tmp_path / "page.md").read_text()
    main(Options(**options))
    page = (tmp_path / "page.md").read_text()
    for way in ("edict", "ddim --refinements 2", "belm", "bdia"):
        assert page.count(f"| {way} |") == 2  # once a domain
    assert "Not measured yet" not in page
    assert len(WAYS) == 7
    monkeypatch.setattr(inversions, "measured", None)  # nothing is measured again
    main(Options(**options))
    assert (tmp_path / "page.md").read_text() == page

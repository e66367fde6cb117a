"""The page that shows the results of several domains."""

import json
from pathlib import Path
from typing import Any

import pytest

from asyrp.cli import main
from asyrp.errors import AsyrpError
from asyrp.experiments.side_by_side import KEPT, folder_name, read_domains, side_by_side


def keep(folder: Path, domain: str, here: str, clean: float) -> None:
    shares = {"success": {"value": 0.9}, "leakage": {"value": 0.05}, "clean": {"value": clean}}
    content: dict[str, Any] = {
        "domain": domain,
        "edits": {"methods": 3},
        "claims": [{"claim": "Theorem 1", "here": here}],
        "methods": [{"method": "Asyrp, f_t", **shares}, {"method": f"only {domain}", **shares}],
    }
    path = folder / folder_name(domain) / KEPT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_every_claim_and_method_has_a_column_a_domain(tmp_path: Path) -> None:
    keep(tmp_path / "kept", "b/c", "undecided", 0.4)
    keep(tmp_path / "kept", "a", "does not hold", 0.1)
    keep(tmp_path / "new", "a", "holds", 0.8)  # a later run of the same domain
    lines = side_by_side(read_domains(tmp_path / "kept", tmp_path / "new")).splitlines()
    assert "| claim | a | b/c |" in lines
    assert "| Theorem 1 | holds | undecided |" in lines
    assert "| Asyrp, f_t | 90 / 5 / 80 | 90 / 5 / 40 |" in lines
    assert "| only a | 90 / 5 / 80 | – |" in lines
    assert any("[b/c](results-b-c.md)" in line for line in lines)
    assert "## Finders of directions" not in lines


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"domain": "a"}', '{"domain": "a", "edits": {"x": 1}, "claims": []}']
)
def test_a_foreign_file_is_named(tmp_path: Path, content: str) -> None:
    keep(tmp_path, "a", "holds", 1.0)
    (tmp_path / "a" / KEPT).write_text(content)
    with pytest.raises(AsyrpError, match=r"is no result of asyrp reproduce .*; delete it"):
        read_domains(tmp_path)


def test_it_is_named_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyrp.commands.reproduce.work", None)
    place = tmp_path / "docs" / "results" / "b" / KEPT
    place.parent.mkdir(parents=True)
    place.write_text("[]")
    line = ["reproduce", "--domain", "avatars-64", "--docs", str(tmp_path / "docs")]
    line += ["--tasks", "smiling", "--studies", "theorem1", "--methods", "asyrp", "--further"]
    assert main(line) == 2
    (told,) = capsys.readouterr().err.strip().splitlines()
    assert "is no result of asyrp reproduce" in told
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["results"]

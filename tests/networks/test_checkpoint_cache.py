"""The cache of converted networks: two processes at once, and after a kill."""

from pathlib import Path
from typing import Any

import pytest

import asyrp
from asyrp.networks import resolve
from asyrp.networks.convert.hyperparameters import Hyperparameters
from asyrp.networks.resolve import converted
from converted import write_original
from leftovers import abandoned, aged
from originals import Ddpm, ddpm_weights


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASYRP_CACHE", str(tmp_path / "cache"))
    return write_original(tmp_path / "net.pt", ddpm_weights(Ddpm()))


def kept(file: Path) -> list[Path]:
    return sorted((file.parent / "cache" / "converted").iterdir())


def test_another_process_that_is_faster_is_no_harm(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, inside = resolve.convert, list[Any]()

    def slow(*given: Any) -> Any:
        made = own(*given)
        if not inside:
            inside.append(file)
            other = converted(file, Hyperparameters())  # begins later and ends first
            inside[:] = [other, other.stat().st_ino]
        return made

    monkeypatch.setattr(resolve, "convert", slow)
    folder = converted(file, Hyperparameters())
    assert inside == [folder, folder.stat().st_ino]  # the first one's stays under its readers
    assert kept(file) == [folder]
    assert asyrp.load_model(file).h_channels == 64


def test_what_a_killed_process_left_is_not_used_and_goes_after_a_day(file: Path) -> None:
    folder = converted(file, Hyperparameters())
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    left = abandoned(folder.parent, lambda place: folder.rename(place / "new"), seconds=60)
    (left / "new" / "diffusion_pytorch_model.safetensors").write_bytes(b"half")
    assert {p.name: p.read_bytes() for p in converted(file, Hyperparameters()).iterdir()} == whole
    assert kept(file) == [left, folder]
    aged(left)
    folder.rename(file.parent / "elsewhere")
    assert converted(file, Hyperparameters()) == folder
    assert kept(file) == [folder]


def test_a_conversion_that_is_stopped_leaves_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyrp.networks.convert.convert.write_weights", stop)
    with pytest.raises(KeyboardInterrupt):
        converted(file, Hyperparameters())
    assert kept(file) == []

"""asyrp doctor: what is said of this machine is true of it."""

import pytest
import torch

from asyrp.cli import main
from asyrp.commands import doctor


def test_it_names_torch_domains_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert torch.__version__ in said
    for domain in ("avatars-64", "photographs-64"):
        assert f"domain       {domain}" in said
    assert said.splitlines()[-1].startswith("next: ")


def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['nowhere>=1; extra == "align"', 'torch>=99; extra == "align"', "torch>=1"]
    monkeypatch.setattr(doctor, "requires", lambda _: lines)
    assert doctor.lacking("align") == ["nowhere", "torch"]
    assert doctor.lacking("app") == []
    assert main(["doctor"]) == 0
    assert "pip install 'asyrp[align]'" in capsys.readouterr().out

"""How much memory many images take, and what checkpointing saves, in processes of their own."""

import json
import subprocess
import sys

import pytest
import torch
from diffusers import UNet2DModel

from asyrp.method.hspace import HSpaceUNet
from tiny_training import new_job, trained


def measured(kind: str, **fields: object) -> dict[str, float]:
    """What the bench says of a part."""
    command = [sys.executable, "-m", "bench.worker", kind, json.dumps(fields), "unused"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.rpartition("\n=")[2])  # type: ignore[no-any-return]


@pytest.mark.slow
def test_inverting_many_images_takes_no_more_memory_than_few() -> None:
    few, many = (measured("InversionMemory", images=count) for count in (64, 2048))
    pictures = 2048 * 3 * 64 * 64 * 4
    assert many["images"] == 2048
    assert many["bytes"] - few["bytes"] < pictures / 4
    assert many["bytes"] < 1.05 * few["bytes"]


@pytest.mark.skipif(not UNet2DModel._supports_gradient_checkpointing, reason="diffusers 0.31")
def test_checkpointing_changes_no_direction(model: HSpaceUNet) -> None:
    plain, checkpointed = new_job(model), new_job(model, checkpointing=True)
    wanted = trained(plain)
    found = trained(checkpointed)
    assert any(module.gradient_checkpointing for module in model.unet.up_blocks)
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=1e-6)
    trained(plain)
    assert not any(module.gradient_checkpointing for module in model.unet.up_blocks)


@pytest.mark.slow
def test_checkpointing_takes_less_memory() -> None:
    rows = [measured("TrainingMemory", network="ddpm-64", checkpointing=on) for on in (False, True)]
    grown = [row["bytes"] - row["bytes_before"] for row in rows]
    assert grown[1] < grown[0]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-4)

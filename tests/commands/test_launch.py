"""`accelerate launch -m asyrp` from end to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asyrp.method.direction_file import load_direction
from asyrp.networks import load_model
from gloo import free_port
from places import QUICK, furnished

TRAIN = [*QUICK, "--train.batch-size", 2, "--train.epochs", 2, "--source", "face"]
TRAIN += ["--target", "smiling face"]


def run(*words: object, processes: int = 1) -> None:
    """The command line in processes of its own."""
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process"]
    launch += ["1", "--main_process_port", str(free_port()), "--num_processes", str(processes)]
    start = [sys.executable, *(launch if processes > 1 else []), "-m", "asyrp"]
    done = subprocess.run(
        [*start, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_train_invert_and_edit_as_one_does(tmp_path: Path) -> None:
    place = furnished(tmp_path)
    found = {}
    for count in (1, 2):
        out = tmp_path / f"by{count}"
        out.mkdir()
        file, store = out / "new.safetensors", out / "store"
        some = ["--images", place / "four"]
        run("train", *some, *TRAIN, "--out", file, processes=count)
        run("invert", *some, "--out", out / "inverted", "--steps", 4, "--store", store)
        direction = place / "odd.safetensors"
        edit = ["edit", *some, "--direction", direction, "--steps", 4, "--store", store]
        run(*edit, "--out", out / "edited", processes=count)
        saved = load_direction(file, load_model("avatars-64"))
        found[count] = list(saved.direction.parameters())
        assert json.loads((out / "edited" / "run.json").read_text())["command"] == "edit"
    for one, two in zip(found[1], found[2], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)
    for path in sorted((tmp_path / "by1" / "edited").glob("*.png")):
        assert (tmp_path / "by2" / "edited" / path.name).read_bytes() == path.read_bytes()

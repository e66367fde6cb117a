"""Commands in processes of their own, on a tiny network, so that they can be killed and starved."""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from asyrp.cli import _guarded, main
from asyrp.commands import report
from asyrp.storage import record_store
from conftest import noise, tiny_unet
from faults.kinds import RELEASED, SCHEDULER
from faults.watch import FORK
from originals import Ddpm, ddpm_weights


class Outcome(NamedTuple):
    """How a command ended: exit code, the last line it said, and how much it said."""

    code: int | None
    last: str
    said: str
    seconds: float


class Fault(NamedTuple):
    """A row of the report. faults: what went wrong; none is the hope."""

    what: str
    tried: int
    happened: str
    faults: tuple[str, ...]
    seconds: float


def nothing() -> None:
    """The usual preparation of a command's process."""


def started(argv: Sequence[object], log: Path, prepare: Callable[[], None] = nothing) -> Any:
    """A process that runs a command; forked, so that it need not import torch first."""
    process = FORK.Process(target=_child, args=([str(word) for word in argv], log, prepare))
    process.start()
    return process


def _child(argv: list[str], log: Path, prepare: Callable[[], None]) -> None:
    file = log.open("w")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = io.TextIOWrapper(
        os.fdopen(2, "wb", closefd=False), write_through=True
    )
    torch.set_num_threads(1)
    prepare()
    try:
        code = _called(argv)
    except SystemExit as done:
        code = int(done.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    sys.stderr.flush()
    os._exit(code)


def _called(argv: list[str]) -> int:
    if argv[0] != "report":
        return main(argv)
    report.run = _report  # type: ignore[attr-defined]
    return _guarded(
        "report", SimpleNamespace(command=_Report(Path(argv[1])), json=False, dry_run=False)
    )


@dataclass(frozen=True)
class _Report:
    out: Path


def _report(options: _Report) -> None:
    """The demo's report, without the demo."""
    content = {"domain": "x" * 100_000, "edits": [], "seconds": {}}
    report.write_report(options.out, content, {})


def run(argv: Sequence[object], log: Path, prepare: Callable[[], None] = nothing) -> Outcome:
    """Run a command to its end."""
    begun = time.perf_counter()
    process = started(argv, log, prepare)
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
    return outcome(process.exitcode, log, time.perf_counter() - begun)


def outcome(code: int | None, log: Path, seconds: float) -> Outcome:
    """What a finished process left in its log."""
    said = log.read_text(errors="replace").replace("\r", "\n")
    lines = [line for line in said.splitlines() if line.strip()]
    return Outcome(code, lines[-1] if lines else "", said, seconds)


def refused(done: Outcome) -> str:
    """ "" for exit code 2 with one clear line; else what was wrong."""
    if "Traceback" in done.said:
        return f"a traceback: {done.last[:150]}"
    if done.code != 2 or not done.last.startswith("asyrp: "):
        return f"exit code {done.code}: {done.last[:150]}"
    return ""


class Place(NamedTuple):
    """Tiny things to run commands on."""

    root: Path

    @property
    def model(self) -> Path:
        """A diffusers folder of a network of 16 x 16 pictures."""
        return self.root / "model"

    @property
    def faces(self) -> Path:
        """A folder of 12 pictures."""
        return self.root / "faces"

    @property
    def checkpoint(self) -> Path:
        """An original DDPM checkpoint."""
        return self.root / "original.pt"

    @property
    def released(self) -> Path:
        """The direction that was published."""
        return next(RELEASED.glob("smiling*.pth"))

    def log(self) -> Path:
        """Where a command talks to."""
        return self.root / "log.txt"


def furnished(root: Path) -> Place:
    """Make them."""
    place = Place(root)
    tiny_unet().save_pretrained(place.model)
    (place.model / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    place.faces.mkdir()
    for i in range(12):
        pixels = noise(16, 16, 3, seed=i).mul(60).add(128).clamp(0, 255).byte().numpy()
        Image.fromarray(pixels).save(place.faces / f"{i:02}.png")
    torch.save(ddpm_weights(Ddpm()), place.checkpoint)
    return place


def train_of(place: Place, out: Path, *more: object) -> list[object]:
    """A training of some seconds, with many batches."""
    phases = ["--t-start", 999, "--t-edit", 500, "--t-boost", 100, "--strength", 1]
    texts = ["--source", "face", "--target", "smiling face", "--refinements", 0]
    texts += ["--encoder", "avatars-64-clip"]
    size = ["--train.steps", 12, "--train.epochs", 24, "--train.batch-size", 3]
    size += ["--train.validate-every", 5, "--train.patience", 1000, "--train.no-zero-init"]
    return ["train", "--images", place.faces, "--model", place.model, *texts, *phases, *size,
            "--out", out, *more]  # fmt: skip


def invert_of(place: Place, out: Path, *more: object) -> list[object]:
    """An inversion of all pictures, two at a time."""
    return ["invert", "--images", place.faces, "--model", place.model, "--out", out, "--steps", 20,
            "--batch-size", 2, *more]  # fmt: skip


def edit_of(place: Place, direction: Path, out: Path, *more: object) -> list[object]:
    """An edit of all pictures."""
    return ["edit", "--images", place.faces, "--model", place.model, "--direction", direction,
            "--out", out, "--steps", 20, "--batch-size", 4, *more]  # fmt: skip


def convert_of(place: Place, out: Path) -> list[object]:
    """A conversion of a network."""
    return ["convert", place.checkpoint, "--out", out]


def eager_store() -> None:
    """A store that writes a shard after every batch, so that kills find it writing."""
    record_store.RecordStore.__init__.__defaults__ = (1, 0.0)  # type: ignore[attr-defined]


def tensors_of(path: Path) -> dict[str, Tensor]:
    """Everything in a safetensors file."""
    with safe_open(path, "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    """Bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder that is not hidden."""
    if not folder.exists():
        return {}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(folder)): path for path in files}
    return {n: path.read_bytes() for n, path in names.items() if not any(
        part.startswith(".") for part in Path(n).parts)}  # fmt: skip


def hidden(folder: Path) -> int:
    """Files left behind by writers that were killed."""
    return sum(path.name.startswith(".") for path in folder.iterdir()) if folder.exists() else 0


def swallow(*paths: Path) -> None:
    """Remove files."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

"""What to train, and the trainings of a folder that were not finished."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from asyrp.errors import AsyrpError
from asyrp.settings import Region, TrainSettings, checked_region
from asyrp.storage.files import atomic_path, parse_json
from asyrp.storage.untrusted.texts import read_bounded

FACES, PASSES = range(8, 257), range(1, 11)
LONGEST_TEXT = 200
LARGEST_FILE = 10_000  # bytes that say what a training is
BATCH = 8
CHECKPOINT, ABOUT = ".checkpoint.safetensors", ".training.json"


@dataclass(frozen=True)
class Job:
    """What to train: texts, on how many random faces, how often, from which seed.

    steps: of the grid on which the phases are found. domain: of its network, "" for another.
    region: where P_t changes, () for everywhere.
    """

    source: str
    target: str
    faces: int = 48
    passes: int = 3
    seed: int = 0
    steps: int = 40
    domain: str = ""
    region: Region = ()

    def __post_init__(self) -> None:
        for name, text in (("source", self.source), ("target", self.target)):
            if not 0 < len(text.strip()) <= LONGEST_TEXT:
                raise AsyrpError(
                    f"the {name} text needs 1 to {LONGEST_TEXT} letters; got {len(text.strip())}; "
                    "write a few words, as in 'smiling face'"
                )
        numbers = (("faces", self.faces, FACES), ("passes", self.passes, PASSES))
        for name, given, most in numbers:
            if given not in most:
                raise AsyrpError(f"the number of {name} lies in {most[0]}..{most[-1]}; got {given}")
        object.__setattr__(self, "region", checked_region(self.region))  # JSON has lists

    @property
    def settings(self) -> TrainSettings:
        """The settings of its training."""
        return TrainSettings(
            along="edited",  # its faces are latents
            epochs=self.passes,
            batch_size=BATCH,
            validate_every=3,
            patience=6,
            seed=self.seed,
            region=self.region,
        )

    @property
    def stem(self) -> str:
        """A file name that no other job has: letters of the target text, and a hash."""
        told = {k: v for k, v in asdict(self).items() if k != "region" or v}  # as before regions
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]
        return f"{slug(self.target) or 'direction'}-{digest}"

    @property
    def title(self) -> str:
        """As a list names it."""
        where = ", in a region" if self.region else ""
        return f"{self.source} → {self.target}, {self.faces} faces, {self.passes} passes{where}"


def slug(text: str) -> str:
    """The letters and digits of a text, for the name of a file."""
    return "-".join(re.findall("[a-z0-9]+", text.lower()))[:40]


def paths(folder: Path, job: Job) -> tuple[Path, Path]:
    """The direction file of a job, and its checkpoint."""
    return folder / f"{job.stem}.safetensors", folder / f"{job.stem}{CHECKPOINT}"


def remember(folder: Path, job: Job) -> Path:
    """Write down what a training is, beside its checkpoint; returns the file."""
    path = folder / f"{job.stem}{ABOUT}"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(asdict(job)), encoding="utf-8")
    return path


def interrupted(folder: Path) -> Iterator[Job]:
    """The jobs of a folder that have a checkpoint; files that say something else are passed by."""
    for path in sorted(folder.glob(f"*{ABOUT}")):
        try:
            job = Job(**parse_json(read_bounded(path, LARGEST_FILE)))
            if paths(folder, job)[1].is_file():
                yield job
        except (OSError, TypeError, ValueError, AttributeError, AsyrpError):
            continue

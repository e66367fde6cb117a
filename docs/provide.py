"""Direction files for the gallery, the notebooks and the tests: shipped ones, or quick ones.

    python docs/provide.py FOLDER

A quick one is trained on 24 faces in about half a minute: enough to see the edit, weaker than what
`asyrp train` finds with its defaults.
"""

import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

NEEDED = {
    "smiling": ("face", "smiling face"),
    "glasses": ("person", "person with glasses"),
}
FACES, EPOCHS, STEPS = 24, 1, 10


def provide(folder: Path) -> list[Path]:
    """Put smiling.safetensors and glasses.safetensors where they are missing."""
    found = []
    shipped = Path(str(files("asyrp.world").joinpath("directions")))
    for name, (source, target) in NEEDED.items():
        path = folder / f"{name}.safetensors"
        if (shipped / path.name).is_file():
            shutil.copyfile(shipped / path.name, path)
        elif not path.is_file():
            train_quickly(source, target, path)
        found.append(path)
    return found


def train_quickly(source: str, target: str, out: Path) -> None:
    """A small training through the command line."""
    from asyrp.cli import main

    with tempfile.TemporaryDirectory() as faces:
        draw = ["world", "draw", "--out", faces, "--count", str(FACES)]
        train = ["train", "--images", faces, "--source", source, "--target", target]
        train += ["--out", str(out), "--validation", "4", "--train.batch-size", "4"]
        train += ["--train.epochs", str(EPOCHS), "--train.steps", str(STEPS)]
        for command in (draw, train):
            if main(command):
                raise RuntimeError(f"asyrp {' '.join(command)} failed")


if __name__ == "__main__":
    print(*provide(Path(sys.argv[1])), sep="\n")

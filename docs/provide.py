"""Direction files for the gallery, the notebooks and the tests: kept ones, or quick ones.

    python docs/provide.py FOLDER [NAME ...]

A file is kept, in the package or in examples/, if the built-in network is the one that it was
trained on. A quick one is trained on 24 faces in about ten seconds, at phases that are given:
enough to see the edit, weaker than what `asyrp train` finds with its defaults.
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
PHASES = ("--t-start", "537", "--t-edit", "153", "--t-boost", "102")  # as found by asyrp train


def provide(folder: Path, *names: str) -> list[Path]:
    """Put the named directions (all, where none is named) into a folder."""
    shipped = Path(str(files("asyrp.domains.avatars").joinpath("directions")))
    kept = (folder, shipped, Path(__file__).parent.parent / "examples")
    found = []
    for name in names or NEEDED:
        path = folder / f"{name}.safetensors"
        fitting = [place / path.name for place in kept if fits(place / path.name)]
        if fitting and fitting[0] != path:
            shutil.copyfile(fitting[0], path)
        elif not fitting:
            train_quickly(*NEEDED[name], path)
        found.append(path)
    return found


def fits(path: Path) -> bool:
    """Whether there is a direction, and it was trained on the built-in network of today."""
    from asyrp import load_model
    from asyrp.method.direction_file import read_card

    return path.is_file() and read_card(path).fingerprint == load_model("avatars-64").fingerprint()


def train_quickly(source: str, target: str, out: Path) -> None:
    """A small training through the command line."""
    from asyrp.cli import main

    with tempfile.TemporaryDirectory() as faces:
        draw = ["world", "draw", "--out", faces, "--count", str(FACES)]
        train = ["train", "--images", faces, "--source", source, "--target", target]
        train += ["--out", str(out), "--validation", "4", "--train.batch-size", "4", *PHASES]
        train += ["--train.epochs", str(EPOCHS), "--train.steps", str(STEPS)]
        for command in (draw, train):
            if main(command):
                raise RuntimeError(f"asyrp {' '.join(command)} failed")


if __name__ == "__main__":
    print(*provide(Path(sys.argv[1]), *sys.argv[2:]), sep="\n")

"""docs/faults.md: what was tried and what happened."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faults.running import Fault

PARTS = ("kills", "disks", "elsewhere", "fuzz", "soak")
TITLES = {
    "kills": "Kills",
    "disks": "Disks that are full or read-only",
    "elsewhere": "Downloads and clocks",
    "fuzz": "Untrusted files",
    "soak": "The app",
}
NOTES = {
    "kills": (
        "Each command runs on a network of 16 x 16 pictures and is killed at a random moment, then "
        "started again, until it was killed often enough; whenever a run reaches its end, its "
        "result is compared with that of a run that nobody killed. Training keeps its state after "
        "every batch and, in batches longer than that, every 15 seconds."
    ),
    "disks": (
        "A disk of 64 MB that something fills up before or while the command writes; something of "
        "the same name is there already."
    ),
    "elsewhere": (
        "An https server that breaks off or lies; files dated 30 years back and 60 ahead, and a "
        "clock that jumps by as much between any two looks at it."
    ),
    "fuzz": (
        "Bytes flipped, cut, put in, taken out; lengths set to extremes; JSON with wrong, huge and "
        "deeply nested values; tensors of other shapes and precisions, and shapes without bytes; "
        "zip bombs; pickles that call functions, grow without end or hold themselves; pictures "
        "that claim other sizes. A file may be read, or refused with an error of one line; "
        "all else counts as a fault: another exception, more than 10 s of the processor, more than "
        "1 GB beyond what the process held before, or a file that the corrupted pickles would "
        "make. File n of a kind is the same in every run with the same seed. *Every number*: each "
        "number and list of numbers in a config, one after the other, set to 0, -1, 10^9, 10^308, "
        "a text and a nested list; what is read then has to run as well."
    ),
    "soak": "Through the real server; every picture is compared with that of `asyrp.edit`.",
}


@dataclass(frozen=True)
class Part:
    """The rows of a part, and when and where they were made."""

    rows: list[dict[str, Any]]
    seconds: float
    machine: str


def machine() -> str:
    """Processor, cores and versions."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{name}, {os.cpu_count()} cores, {versions}"


def save_part(folder: Path, name: str, rows: Iterable[Fault], seconds: float) -> None:
    """Keep a part, so that the parts can be run one by one; rows of the same name are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path, new = folder / f"{name}.json", {row.what: row._asdict() for row in rows}
    old = json.loads(path.read_text())["rows"] if path.is_file() else []
    kept = {row["what"]: row for row in old}
    if set(new) < set(kept):  # some rows alone
        seconds = sum(row["seconds"] for row in (kept | new).values())
        new = kept | new
    part = Part(list(new.values()), seconds, machine())
    (folder / f"{name}.json").write_text(json.dumps(asdict(part), indent=1) + "\n")


def page(folder: Path) -> str:
    """The page of all parts that were kept."""
    found = {n: json.loads((folder / f"{n}.json").read_text()) for n in PARTS
             if (folder / f"{n}.json").is_file()}  # fmt: skip
    tried = sum(row["tried"] for part in found.values() for row in part["rows"])
    faults = sum(bool(row["faults"]) for part in found.values() for row in part["rows"])
    seconds = sum(part["seconds"] for part in found.values())
    machines = sorted({part["machine"] for part in found.values()})
    lines = [
        "# Fault injection",
        "",
        f"Written by `make faults`: {tried:,} faults on {'; '.join(machines)}; the parts took "
        f"{seconds / 60:.0f} minutes, some of them in parallel. "
        + ("None did harm." if not faults else f"**{faults} rows name faults that did harm.**"),
    ]
    for name, part in found.items():
        lines += ["", f"## {TITLES[name]}", "", NOTES[name], "", *_table(part["rows"])]
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| fault | tried | what happened | seconds |", "|---|---:|---|---:|"]
    for row in rows:
        told = f"**{'; '.join(row['faults'])}**" if row["faults"] else row["happened"]
        cells = (row["what"], f"{row['tried']:,}", told.replace("|", "/"), f"{row['seconds']:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines

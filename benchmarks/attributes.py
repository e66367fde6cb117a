"""Attributes of the built-in world, trained with the defaults and judged on test faces.

Run: python benchmarks/attributes.py
It writes docs/attributes.md and a sheet an attribute into docs/images; directions and latents
stay in --out. Stopped and run again, it goes on with the attribute it was at.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor

from asyrp.commands.common import network, say
from asyrp.commands.demo import enlarged
from asyrp.commands.inverting import Inverter
from asyrp.commands.train import TrainingData, train
from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.judge import JudgeNetwork, load_judge
from asyrp.finders.prepare import EDIT_STEPS, Pictures, curves_of
from asyrp.method.direction_file import save_direction
from asyrp.method.editing import edit
from asyrp.method.editing_interval import Curves, EditInterval, find_intervals, find_t_start
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.options import Inverting, Network, Train
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.settings import TrainSettings
from asyrp.storage.images import contact_sheet, from_uint8, write_png
from asyrp.storage.json_files import write_json
from avatar_score import answers, score


class Edit(NamedTuple):
    """A text pair with the factor and value it means; from_t: begin at T, as the paper does."""

    factor: str
    value: str
    source: str
    target: str
    from_t: bool = False

    @property
    def name(self) -> str:
        """For files."""
        return self.value + ("-from-T" if self.from_t else "")

    @property
    def title(self) -> str:
        """For people."""
        marks = [
            *(["unseen"] if self.value in UNSEEN else []),
            *(["from T"] if self.from_t else []),
        ]
        return f"{self.source} → {self.target}" + (f" ({', '.join(marks)})" if marks else "")


ATTRIBUTES = (
    Edit("mouth", "smiling", "face", "smiling face"),
    Edit("mouth", "sad", "face", "sad face"),
    Edit("mouth", "surprised", "face", "surprised face"),
    Edit("brows", "angry", "face", "angry face"),
    Edit("eyes", "closed", "person", "person with closed eyes"),
    Edit("eyewear", "glasses", "person", "person with glasses"),
    Edit("eyewear", "sunglasses", "person", "person with sunglasses"),
    Edit("facial_hair", "beard", "person", "person with a beard"),
    Edit("hair", "bald", "person", "bald person"),
    Edit("hair", "bald", "person", "bald person", True),
    Edit("hair_color", "blonde", "person", "person with blonde hair"),
    Edit("hair_color", "blonde", "person", "person with blonde hair", True),
    Edit("hair_color", "blue", "person", "person with blue hair"),
    Edit("hair_color", "blue", "person", "person with blue hair", True),
    Edit("skin", "green", "person", "person with green skin"),
    Edit("skin", "green", "person", "person with green skin", True),
)
UNSEEN = ("blue", "green")
TRAIN = 96  # faces, as in the demo
SEEN = 1000  # test faces below it were looked at while defaults were chosen
SEEN_TOLD = (
    ",\nin view when the share of the strength was settled "
    "([settings](train_a_direction.md#settings)); `--first 1000` takes others"
)


@dataclass(frozen=True)
class Options:
    """Train and judge the attributes."""

    out: Path = Path("build/attributes")
    """Folder for what is kept between runs."""
    docs: Path = Path("docs")
    """Folder for attributes.md and images/."""
    test_faces: int = 64
    """Test faces of each attribute that do not show it."""
    pool: int = 112
    """Test faces to choose them from."""
    first: int = 0
    """Number of the first of them; those below SEEN were in view when defaults were settled."""
    only: tuple[str, ...] = ()
    """Names to do, as in smiling or bald-from-T; default: all."""
    again: bool = False
    """Do them again even if they were done before."""


class Shared(NamedTuple):
    """What all attributes have in common: networks, and faces inverted once."""

    model: HSpaceUNet
    judge: JudgeNetwork
    curves: Curves
    train: Pictures
    checked: Pictures
    held: Pictures
    test: Pictures
    originals: Tensor
    train_faces: Tensor
    held_faces: Tensor


def shared(options: Options) -> Shared:
    """Load, draw and invert as `asyrp train` does, or read the latents of an earlier run."""
    model, distance = network(Network()), load_distance("st-lpips-alex")
    faces = {
        split: from_uint8(
            np.stack([draw(sample_face(split, i)) for i in range(first, first + number)])
        )
        for split, first, number in (
            ("train", 0, TRAIN),
            ("validation", 0, 16),
            ("test", options.first, options.pool),
        )
    }
    held = inverted_once(model, faces["validation"], options.out / "held", EDIT_STEPS)
    curves = curves_of(model, held.images, held.latents, distance, EDIT_STEPS)
    at, steps = find_t_start(curves, distance.thresholds), TrainSettings().steps
    return Shared(
        model,
        load_judge(),
        curves,
        inverted_once(model, faces["train"], options.out / "train", steps, at),
        inverted_once(model, faces["validation"], options.out / "checked", steps, at),
        held,
        inverted_once(model, faces["test"], options.out / f"test-{options.first}", EDIT_STEPS),
        faces["test"],
        faces["train"],
        faces["validation"],
    )


def inverted_once(
    model: HSpaceUNet, images: Tensor, path: Path, steps: int, at: int | None = None
) -> Pictures:
    """Latents and reconstructions, kept in a file."""
    kept = path.with_suffix(".safetensors")
    if not kept.exists():
        names = [f"{path.stem} {i}" for i in range(len(images))]
        done = Inverter(model, steps, Inverting())(images, names, at)
        save_file({"x": done.latents.contiguous(), "back": done.reconstructions.contiguous()}, kept)
    tensors = load_file(kept)
    return Pictures(tensors["back"], tensors["x"], at)


def lacking(factor: str, value: str, faces: Sequence[Face]) -> list[int]:
    """Rows of the faces that show the factor but not the value."""
    return [i for i, face in enumerate(faces) if face.label(factor) not in (None, value)]


def data_of(options: Options, have: Shared, edit: Edit, guide: TextDirection) -> TrainingData:
    """The phases of one edit, and the faces at the t where it begins."""
    found = find_intervals(have.curves, guide.cosine, load_distance("st-lpips-alex").thresholds)
    phases = EditInterval(found.t_start, found.t_edit.t, found.t_boost.t)
    if not edit.from_t:
        return TrainingData(have.train, have.checked, have.held, (phases,))
    steps, out = TrainSettings().steps, options.out
    train = inverted_once(have.model, have.train_faces, out / "train-T", steps)
    checked = inverted_once(have.model, have.held_faces, out / "checked-T", steps)
    top = have.model.schedule.length - 1
    return TrainingData(train, checked, have.held, (replace(phases, t_start=top),))


def one(options: Options, have: Shared, wanted: Edit) -> dict[str, object]:
    """Train one direction with the defaults of `asyrp train` and judge it."""
    factor, value, source, target, _ = wanted
    guide = new_text_direction(load_encoder("avatars-64-clip"), source, target)
    job = Train(source, (target,), options.out / f"{wanted.name}.safetensors", images=options.out)
    (saved,) = train(have.model, [guide], data_of(options, have, wanted, guide), job)
    save_direction(job.out, *saved)
    pool = [sample_face("test", options.first + i) for i in range(options.pool)]
    rows = lacking(factor, value, pool)[: options.test_faces]
    faces = [pool[i] for i in rows]
    edited = edit(
        have.model, have.test.latents[rows], [saved.attribute()], t_boost=saved.card.t_boost
    )
    before = answers(have.judge, have.originals[rows])
    plain = score(before, answers(have.judge, have.test.images[rows]), faces, factor, value)
    after = score(before, answers(have.judge, edited), faces, factor, value)
    sheet = enlarged(contact_sheet([have.originals[rows][:12], edited[:12]]))
    write_png(options.docs / "images" / f"attribute-{wanted.name}.png", sheet)
    worst = max(after.by_factor, key=lambda name: after.by_factor[name])
    return {
        "texts": wanted.title,
        "faces": len(faces),
        "before": plain.success,
        "after": after.success,
        "leakage": after.leakage,
        "reconstruction": plain.leakage,
        "worst": f"{worst} {100 * after.by_factor[worst]:.0f} %",
        "t_start": saved.card.t_start,
        "t_edit": saved.card.t_edit,
        "t_boost": saved.card.t_boost,
        "strength": saved.card.strength,
    }


def page(rows: dict[str, dict[str, object]], first: int) -> str:
    """attributes.md."""
    head = (
        "# Attributes of the built-in world\n\n"
        "Written by `python benchmarks/attributes.py`: every direction was trained with the "
        "defaults of\n`asyrp train`, on the same faces, and judged at strength 1 on test faces "
        f"that do not show the value:\nthe first of test face {first} and up"
        f"{SEEN_TOLD if first < SEEN else ', which nothing was chosen on'}.\n"
        "Success depends on the dose: here it is the card's, where the guide's progress saturates; "
        "the comparison in\n[results](results.md) trains on 64 faces without validation and takes "
        "the strength with the most clean edits, so\nfewer faces smile there and less else "
        "changes. Compare methods within a table, not across pages.\n"
        f"Machine: {torch.get_num_threads()} threads of a {platform.machine()} CPU, torch "
        f"{torch.__version__}. Shares in %; ± is the standard error over faces.\n\n"
        "| texts | judged so before | after | others changed | by reconstruction | "
        "most changed | strength | t_start, t_edit, t_boost |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    lines, sheets = [], []
    for value, row in rows.items():
        after, faces = float(str(row["after"])), int(str(row["faces"]))
        spread = 100 * (after * (1 - after) / faces) ** 0.5
        phases = f"{row['t_start']}, {row['t_edit']}, {row['t_boost']}"
        lines.append(
            f"| {row['texts']} | {100 * float(str(row['before'])):.0f} | "
            f"{100 * after:.0f} ± {spread:.0f} | {100 * float(str(row['leakage'])):.1f} | "
            f"{100 * float(str(row['reconstruction'])):.1f} | {row['worst']} | "
            f"{row['strength']} | {phases} |"
        )
        sheets.append(f"## {row['texts']}\n\n![{value}](images/attribute-{value}.png)\n")
    unseen = (
        "\n\nUnseen: no face with the value was among the diffusion model's training data; "
        "the text-image\nencoder knows it. Sheets: test faces above, edits below, the first "
        "twelve, none left out.\n\n"
    )
    return head + "\n".join(lines) + unseen + "\n".join(sheets)


def main(options: Options) -> None:
    """Do what is not done yet, and write the page."""
    (options.docs / "images").mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "rows.json"
    have = shared(options)
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    for attribute in ATTRIBUTES:
        name = attribute.name
        wanted = not options.only or name in options.only
        if wanted and (options.again or name not in rows):
            say(f"== {name}")
            rows[name] = one(options, have, attribute)
            say(json.dumps(rows[name]))
            write_json(kept, rows)
    ordered = {a.name: rows[a.name] for a in ATTRIBUTES if a.name in rows}
    (options.docs / "attributes.md").write_text(page(ordered, options.first), encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options))

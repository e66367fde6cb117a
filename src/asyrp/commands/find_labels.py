"""Labels of images for `find --by labels`: columns of a CSV, or answers of a judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from asyrp.commands.judges import WORLD, questions_in
from asyrp.errors import AsyrpError
from asyrp.finders.catalogue import Labels
from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.answers import Judging
from asyrp.metrics.zero_shot import ZeroShotJudging
from asyrp.scorers.load import load_encoder
from asyrp.storage.image_sources import csv_table


class Named(Protocol):
    """Images (n, c, height, width) as x of a network, with the names of their files if any."""

    @property
    def images(self) -> Tensor:
        """Clean x."""
        ...

    @property
    def names(self) -> list[str] | None:
        """File names; None for samples."""
        ...


class Labelled(NamedTuple):
    """labels: (m,), 1 where the value shows. rows: their images. left_out: names of others."""

    labels: Tensor
    rows: Tensor
    left_out: list[str]


def labels_for(model: HSpaceUNet, settings: Labels, found: Named) -> Labelled:
    """Who shows the value.

    Raises:
        AsyrpError: no such file, judge, attribute or value, or samples with a CSV.
    """
    if not settings.labels.lower().endswith(".csv"):
        labels = _judged(model, settings, found.images)
        return Labelled(labels, torch.arange(len(labels)), [])
    if found.names is None:
        raise AsyrpError("samples have no labels in a CSV; give --images, or a judge for --labels")
    table = {Path(item.name).name: item.labels for item in csv_table(Path(settings.labels))}
    return in_table(table, settings, found.names)


def in_table(
    table: Mapping[str, Mapping[str, str]], settings: Labels, names: Sequence[str]
) -> Labelled:
    """Labels by file name from a table of name -> column -> value."""
    columns = next(iter(table.values()), {})
    if settings.attribute not in columns:
        raise AsyrpError(
            f"{settings.labels!r} has no column {settings.attribute!r}; it has: "
            f"{', '.join(columns) or 'none'}"
        )
    values = {name: row[settings.attribute] for name, row in table.items()}
    if settings.value not in values.values():
        known = ", ".join(repr(value) for value in sorted(set(values.values()))[:8])
        raise AsyrpError(
            f"no image has the value {settings.value!r} of {settings.attribute}; there are: {known}"
        )
    rows = [row for row, name in enumerate(names) if values.get(name)]
    labels = [int(values[names[row]] == settings.value) for row in rows]
    left_out = [name for name in names if not values.get(name)]
    return Labelled(torch.tensor(labels), torch.tensor(rows, dtype=torch.long), left_out)


@torch.no_grad()
def _judged(model: HSpaceUNet, settings: Labels, images: Tensor) -> Tensor:
    judging = judge_named(settings.labels, model)
    wanted = judging.wanted(settings.attribute, settings.value)
    shown = [model.space.decode(one[None].to(model.device)) for one in images]
    answers = judging.answers(torch.cat(shown))[settings.attribute]
    return (torch.as_tensor(answers) == wanted).long()


def judge_named(name: str, model: HSpaceUNet) -> Judging:
    """A judge by name, or made of the questions in a file."""
    if name == WORLD:
        from asyrp.domains.avatars.judge import load_judge
        from asyrp.domains.avatars.judging import AvatarJudging

        return AvatarJudging(load_judge())
    questions = questions_in(name, f"a FILE.csv, {WORLD}, or ")
    return ZeroShotJudging(load_encoder(questions.encoder, model.device), questions)

"""Labels of images for `find --by labels`: columns of a CSV, or answers of a judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from asyrp.commands.judges import judging
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import pictures_of
from asyrp.finders.catalogue import Labels
from asyrp.method.hspace import HSpaceUNet
from asyrp.scorers.judge import answers, wanted
from asyrp.storage.image_sources import csv_table

# labels (m,), 1 where the value shows; rows of their images; names of the images left out
Labelled = tuple[Tensor, Tensor, list[str]]


def labels_for(
    model: HSpaceUNet, settings: Labels, images: Tensor, names: Sequence[str] | None
) -> Labelled:
    """Who shows the value.

    Args:
        images: clean x of the network, (n, c, height, width).
        names: of their files; None for samples.

    Raises:
        AsyrpError: no such file, judge, attribute or value, or samples with a CSV.
    """
    if not settings.labels.lower().endswith(".csv"):
        labels = _judged(model, settings, images)
        return labels, torch.arange(len(labels)), []
    if names is None:
        raise AsyrpError("samples have no labels in a CSV; give --images, or a judge for --labels")
    table = {Path(item.name).name: item.labels for item in csv_table(Path(settings.labels))}
    return in_table(table, settings, names)


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
    return torch.tensor(labels), torch.tensor(rows, dtype=torch.long), left_out


def _judged(model: HSpaceUNet, settings: Labels, images: Tensor) -> Tensor:
    """By the judge of a domain, or one made of the questions in a file."""
    judge = judging(settings.labels, str(model.device)).judge
    if judge is None:
        raise AsyrpError(
            f"{settings.labels} has no judge; give a FILE.csv or a FILE.json of questions"
        )
    place = wanted(judge, settings.attribute, settings.value)
    found = answers(judge, pictures_of(model, images.to(model.device)))[settings.attribute]
    return (torch.as_tensor(found) == place).long()

"""The released LPIPS tables: t_edit and t_boost of a text pair without measuring anything.

Five datasets, about 100 images each (Kwon et al. 2023, sections 4.1 and 4.2; data/README.md).
"""

from functools import cache
from typing import NamedTuple

from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import first_reaching
from asyrp.method.protocols import Thresholds
from asyrp.storage.shipped import shipped

DATASETS = ("celeba", "church", "bedroom", "afhq", "metface")


class Curve(NamedTuple):
    """A mean distance at every timestep of a table, ascending."""

    times: tuple[int, ...]
    values: tuple[float, ...]


class ReleasedIntervals(NamedTuple):
    """Ends of the editing and beginning of the boosting phase."""

    t_edit: int
    t_boost: int


@cache
def released_curve(dataset: str, of: str) -> Curve:
    """A released table of one of DATASETS.

    Args:
        of: "x0_t" for LPIPS(x, P_t), "x" for LPIPS(x, x_t).
    """
    if dataset not in DATASETS or of not in ("x0_t", "x"):
        raise AsyrpError(f"released tables are of {', '.join(DATASETS)}; got {dataset!r}")
    path = shipped("asyrp.networks", "data", f"{dataset}_LPIPS_distance_{of}.tsv")
    rows = [line.split("\t") for line in path.read_text().splitlines() if line.strip()]
    return Curve(tuple(int(row[0]) for row in rows), tuple(float(row[1]) for row in rows))


def released_intervals(
    dataset: str, cosine: float, thresholds: Thresholds | None = None
) -> ReleasedIntervals:
    """The lowest t that reaches 0.33 cos(source, target) on P_t, and 1.2 on x_t.

    Args:
        cosine: of the two texts by CLIP ViT-B/16, without templates.
        thresholds: the paper's by default.

    Raises:
        AsyrpError: no such dataset, or a level that is never reached.
    """
    cuts = thresholds or Thresholds()
    if not 0 < cosine <= 1:
        raise AsyrpError(f"a text cosine lies above 0 and is at most 1; got {cosine}")
    t_edit = first_reaching(*released_curve(dataset, "x0_t"), cuts.edit * cosine)
    return ReleasedIntervals(t_edit, first_reaching(*released_curve(dataset, "x"), cuts.boost))


def implied_cosine(dataset: str, t_edit: int) -> float:
    """The text cosine that leads to a published t_edit: the middle of the values that do."""
    times, values = released_curve(dataset, "x0_t")
    at = times.index(t_edit)
    return (max(values[:at]) + values[at]) / 2 / Thresholds().edit

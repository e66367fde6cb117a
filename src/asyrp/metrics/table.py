"""The table of an edit: every metric over all images, over subgroups, and the gaps between them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import PerceptualDistance
from asyrp.method.text_direction import TextDirection
from asyrp.metrics import answers as judged
from asyrp.metrics import frechet
from asyrp.metrics.directional import directional_similarity
from asyrp.metrics.features import FeatureNetwork, features_of, identity_similarity, strangers
from asyrp.metrics.gaps import Gap, gap_between
from asyrp.metrics.of_image import Metric, Pictures
from asyrp.metrics.perceptual import distances, diversity, neighbour_pairs
from asyrp.metrics.structure import Segmenting, mean_iou
from asyrp.reporting.significance import holm
from asyrp.reporting.statistics import Estimate, of_pairs, of_runs
from asyrp.scorers.judge import Judge, answers, wanted
from asyrp.scorers.judge import shown as shown_in_both

LEAST_GROUP = 8  # images; a smaller subgroup says nothing
GROUP_DRAWS = 25  # of the resampling of a subgroup's FID

# metric -> what it is
METRICS: Mapping[str, str] = {
    "s_dir": "cos(E(edit) - E(source image), E(target text) - E(source text)), features of unit "
    "norm; from -1 to 1, higher is better",
    "success": "share of edits judged to show the wanted value; higher is better",
    "success_before": "share of sources judged to show it already",
    "leakage": "share of the other visible attributes whose judged value changed; lower is better",
    "leakage_reconstruction": "the same of the reconstruction, which no edit touched",
    "leakage_beyond": "leakage minus that of the reconstruction, image by image",
    "clean": "share of edits that succeeded and changed no other attribute; higher is better",
    "lpips": "perceptual distance from source to edit; lower is better",
    "lpips_reconstruction": "perceptual distance from source to reconstruction",
    "sc": "mean IoU of the segmentation masks of source and edit; 1 is the same structure",
    "identity": "cosine of identity features of source and edit; higher is better",
    "identity_strangers": "the same between each source and the next one",
    "fid": "Frechet distance from edits to pictures that show the value, where there are some: "
    "lower is better, compare at equal counts; else to the sources: how much changed, no score",
    "kid": "squared MMD between the same sets as of FID; from no change to its own sources it is a "
    "little below 0",
    "diversity": "mean perceptual distance between edits of different images",
    "diversity_sources": "the same between the sources",
}


class Scorers(NamedTuple):
    """The networks that measure; None leaves their metrics out. spread: of diversity."""

    guide: TextDirection | None = None
    distance: PerceptualDistance | None = None
    spread: PerceptualDistance | None = None
    judge: Judge | None = None
    segmenter: Segmenting | None = None
    features: FeatureNetwork | None = None
    identity: FeatureNetwork | None = None
    more: tuple[Metric, ...] = ()


class Wish(NamedTuple):
    """What the edit should have done: an attribute of the judge, and its new value.

    follows: other attributes that change with it, which are no leakage.
    """

    attribute: str
    value: str
    follows: tuple[str, ...] = ()


Values = Mapping[str, np.ndarray]


def per_image(
    pictures: Pictures, scorers: Scorers, wish: Wish | None = None
) -> dict[str, np.ndarray]:
    """metric -> (n,), for the metrics that belong to single images."""
    sources, edits, back = pictures[:3]
    found: dict[str, np.ndarray] = {}
    if scorers.guide is not None:
        found["s_dir"] = directional_similarity(sources, edits, scorers.guide)
    if scorers.judge is not None and wish is not None:
        found |= judge_edits(pictures, scorers.judge, wish)
    if scorers.distance is not None:
        found["lpips"] = distances(scorers.distance, sources, edits)
        if back is not None:
            found["lpips_reconstruction"] = distances(scorers.distance, sources, back)
    if scorers.segmenter is not None:
        found["sc"] = mean_iou(scorers.segmenter.masks(sources), scorers.segmenter.masks(edits))
    if scorers.identity is not None:
        features = features_of(scorers.identity, sources)
        found["identity"] = identity_similarity(features, features_of(scorers.identity, edits))
        found["identity_strangers"] = strangers(features)
    return found | {metric.name: metric.measure(pictures) for metric in scorers.more}


def judge_edits(pictures: Pictures, judge: Judge, wish: Wish) -> dict[str, np.ndarray]:
    """success, leakage and clean of each image; the reconstruction's own changes beside them."""
    before, after = answers(judge, pictures.sources), answers(judge, pictures.edits)
    place = wanted(judge, *wish[:2])
    shown = shown_in_both(judge, before, *wish[:2])
    success = judged.succeeded(after, wish.attribute, place)
    due = (wish.attribute, *wish.follows)
    leaks = judged.leaked(judged.changed(before, after, shown), *due)
    found = {
        "success": success,
        "success_before": judged.succeeded(before, wish.attribute, place),
        "leakage": leaks,
        "clean": judged.clean(success, leaks),
    }
    if pictures.reconstructions is not None:
        plain = answers(judge, pictures.reconstructions)
        own = judged.leaked(judged.changed(before, plain, shown), *due)
        found |= {"leakage_reconstruction": own, "leakage_beyond": leaks - own}
    return found


def over_runs(
    runs: Sequence[Pictures], scorers: Scorers, wish: Wish | None = None
) -> dict[str, np.ndarray]:
    """`per_image` of every run, metric -> (runs, n); runs have the same sources."""
    found = [per_image(pictures, scorers, wish) for pictures in runs]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def leakage_matrix(
    runs: Sequence[Pictures], judge: Judge, wish: Wish, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Rows edit and reconstruction: attribute -> share of images whose judged value changed.

    Those that show in fewer than two images are left out.
    """
    sources, _, back = runs[0][:3]
    before = answers(judge, sources)
    shown = shown_in_both(judge, before, *wish[:2])
    edited = [judged.changed(before, answers(judge, run.edits), shown) for run in runs]
    rows = {"edit": {name: np.stack([one[name] for one in edited]) for name in edited[0]}}
    if back is not None:
        rows["reconstruction"] = judged.changed(before, answers(judge, back), shown)
    return {edit: summarised(changes, seed) for edit, changes in rows.items()}


class Features(NamedTuple):
    """What the metrics of sets see of edits (runs, n, d), and of what they are compared with.

    reference: (m, d) of pictures that show the value; else of the sources, row by row.
    """

    reference: Tensor
    edits: Tensor
    paired: bool = True

    def rows(self, rows: Sequence[int] | np.ndarray) -> "Features":
        """Some of the images."""
        chosen = torch.as_tensor(rows)
        reference = self.reference[chosen] if self.paired else self.reference
        return Features(reference, self.edits[:, chosen], self.paired)


def features_in(runs: Sequence[Pictures], scorers: Scorers) -> Features | None:
    """Features for FID and KID; None without a network for them."""
    if scorers.features is None:
        return None
    edits = torch.stack([features_of(scorers.features, run.edits) for run in runs])
    first = runs[0]
    shown = first.sources if first.showing is None else first.showing
    return Features(features_of(scorers.features, shown), edits, first.showing is None)


def of_sets(
    runs: Sequence[Pictures], scorers: Scorers, features: Features | None, seed: int = 0
) -> dict[str, Estimate]:
    """The metrics that belong to whole sets of images: FID, KID, diversity; means over runs.

    AsyrpError for fewer images than one of them needs.
    """
    found: dict[str, Estimate] = {}
    if features is not None:
        found["fid"] = frechet.fid(*features, seed=seed)
        found["kid"] = frechet.kid(*features, seed=seed)
    if scorers.spread is not None:
        count = len(runs[0].sources)
        pairs = neighbour_pairs(count)
        every = np.stack([diversity(scorers.spread, run.edits, pairs) for run in runs])
        found["diversity"] = of_pairs(every.mean(0), pairs, count)
        own = diversity(scorers.spread, runs[0].sources, pairs)
        found["diversity_sources"] = of_pairs(own, pairs, count)
    return found


def of_groups(
    values: Values,
    groups: Mapping[str, Mapping[str, np.ndarray]],
    features: Features | None,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """attribute -> value -> metric -> estimate, for subgroups.

    FID is biased by the number of images, so the groups of one attribute are compared at that of
    the smallest which is large enough for it.
    """
    found: dict[str, dict[str, dict[str, Estimate]]] = {}
    for attribute, members in groups.items():
        enough = [len(rows) for rows in members.values() if len(rows) >= frechet.LEAST_FID]
        for value, rows in members.items():
            table = summarised({name: row[..., rows] for name, row in values.items()}, seed)
            if features is not None:
                table["kid"] = frechet.kid(*features.rows(rows), seed=seed)
                if len(rows) >= frechet.LEAST_FID:
                    few = features.rows(rows[: min(enough)])
                    table["fid"] = frechet.fid(*few, seed=seed, draws=GROUP_DRAWS)
            found.setdefault(attribute, {})[value] = table
    return found


def summarised(values: Values, seed: int = 0) -> dict[str, Estimate]:
    """metric -> mean with its interval, of two images or more; values: (n,) or (runs, n)."""
    return {
        name: of_runs(np.atleast_2d(row), seed)
        for name, row in values.items()
        if judged.shown_in(row) > 1
    }


def labels_of(judge: Judge, sources: Tensor, attributes: Sequence[str]) -> dict[str, list[str]]:
    """attribute -> the value that the judge sees in each source; AsyrpError for an unknown one."""
    seen = answers(judge, sources)
    for attribute in attributes:
        if attribute not in seen:
            raise AsyrpError(
                f"the judge does not know the attribute {attribute!r}; it answers for: "
                f"{', '.join(seen)}"
            )
    return {a: [judge.values[a][int(i)] for i in seen[a]] for a in attributes}


def grouped(labels: Sequence[str]) -> dict[str, np.ndarray]:
    """label -> rows that have it, for labels of at least LEAST_GROUP images; "" is no label."""
    table, small = np.asarray(labels), too_small(labels)
    names = [str(label) for label in np.unique(table) if label and label not in small]
    return {name: np.flatnonzero(table == name) for name in names}


def too_small(labels: Sequence[str]) -> dict[str, int]:
    """label -> its number of images, for those of fewer than LEAST_GROUP."""
    counts = sorted(Counter(labels).items())
    return {label: count for label, count in counts if label and count < LEAST_GROUP}


def gaps(
    values: Values, groups: Mapping[str, Mapping[str, np.ndarray]], seed: int = 0
) -> list[Gap]:
    """Every metric's gap between the subgroups of every attribute, the least likely on top."""
    means = {metric: judged.mean_of_known(np.atleast_2d(row)) for metric, row in values.items()}
    found = [
        gap_between(metric, row, attribute, members, seed)
        for metric, row in means.items()
        for attribute, members in groups.items()
        if len(members) > 1 and all(judged.shown_in(row[rows]) > 1 for rows in members.values())
    ]
    adjusted = holm([gap.p for gap in found])
    found = [gap._replace(p=p) for gap, p in zip(found, adjusted, strict=True)]
    return sorted(found, key=lambda gap: (gap.p, -gap.spread))

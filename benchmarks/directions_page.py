"""The page of the directions that ship, from what benchmarks/directions.py measured."""

import platform
from collections.abc import Sequence
from typing import Any

import torch

from asyrp.domains.base import Domain
from asyrp.reporting.statistics import Estimate
from asyrp.reporting.tables import percent
from directions_strength import SHARE

ALONG = {
    "noised": "on noised copies",
    "edited": "along the edited walk",
    "trajectory": "along the inverted walk",
}
WORTH = (0.8, 0.15)  # least success and most leakage, on validation images, of one that ships
BROKEN = ("photographs-64/glasses",)  # whose edits, looked at, break faces
HEAD = """# Directions of {domain}

Written by `python benchmarks/directions.py --domain {domain}`. Each direction was trained on
training images that lack its value, keeping what the domain's other tasks are about; in those
*bound to a region* the predicted image is edited only where the value shows, in a polygon drawn by
hand, and the others are of before there were regions. Its strength is that at which the domain's
judge, which guided nothing, sees the value on {share:.0%} of validation images, on a line between
two that were tried. `asyrp edit` gives each image 0.5 to 1.5 times that: the least at which the
text-image encoder reads the text in it as clearly as *enough* says (the cosine with the texts'
direction). *Enough* is what leads to the most success within a budget of leakage on validation
images, else to {share:.0%} with the least leakage. *One strength* and *as needed* are success and
leakage on these same validation images, so they flatter: at that strength, and with each image's
own. Those of drawn faces are of before: among the strengths that were tried, the first that
suffices, and the first that reads enough in each image.

The columns behind *images* are of test images that lack the value: shares in %, 95 % intervals.
Earlier directions of some of these tasks were measured on the same test images, and the budget
came after a first look at those of avatars-64. On photographs the strengths among which *enough*
is chosen were mended after a look at test images of smiling and serious, so these two were measured
on them twice. What the network was trained on is on its card.
*Leakage* is the share of the judge's other attributes that change, but for those that go with the
value by the labels (at least 0.5 of correlation), *all* counts these too, and *back* is what the
plain reconstruction changes. Directions without a sheet below do not ship: they reach less than
{worth[0]:.0%} or leak more than {worth[1]:.0%} on validation images, or break faces to the eye,
whatever the judge counts (glasses on photographs smear the eyes). Products in
{precision}. Machine: a {machine} CPU, torch {torch}.

| edit | trained | [t_start, t_edit] | strength | enough | budget | one strength | as needed \
| images | success | leakage | all | back | clean |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""
SHEET = """
![Eight samples and their edits](images/{domain}-{task}.png)

*{texts}*, on eight samples of the network that nobody chose: unedited, at 0.5, 1 and 1.5 times the
strength{follows}.
"""


def page(domain: Domain, rows: Sequence[dict[str, Any]]) -> str:
    """directions-DOMAIN.md."""
    head = HEAD.format(
        domain=domain.name,
        share=SHARE,
        worth=WORTH,
        precision=str(domain.model.dtype).removeprefix("torch."),
        machine=platform.machine(),
        torch=torch.__version__,
    )
    lines, sheets = [], []
    for row in rows:
        shares = ("success", "leakage", "leakage_all", "leakage_back", "clean")
        (begin, end), trained, looked = row["interval"], row["trained"], row["looked"]
        how = [ALONG[trained["along"]], f"{trained['images']} images"]
        how += ["bound to a region"] if row["region"] else []
        cells = [row["texts"], ", ".join(how)]
        cells += [f"[{'T' if begin is None else begin}, {end}]", f"{row['strength']:g}"]
        cells += ["none" if row["enough"] is None else f"{row['enough']:g}"]
        cells += [f"{looked['budget']:.1%} of {looked['images']}"]
        pairs = (row["validation"][name] for name in ("one strength", "as needed"))
        cells += ["" if pair is None else f"{pair[0]:.0%}, {pair[1]:.1%}" for pair in pairs]
        cells += [row["images"], *(percent(Estimate(**row[name])) for name in shares)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
        told = row | {"follows": "".join(f"; with it goes {one}" for one in row["follows"])}
        sheets += [SHEET.format(domain=domain.name, **told)] if row["ships"] else []
    return head + "\n".join(lines) + "\n" + "".join(sheets)

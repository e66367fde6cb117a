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
BROKEN = {"photographs-64/glasses": "glasses smear the eyes"}  # to the eye, whatever is counted
NOTES = {
    "photographs-64": "How *enough* is chosen was mended after a look at test images of smiling "
    "and serious.\n",
}
HEAD = """# Directions of {domain}

Written by `python benchmarks/directions.py --domain {domain}`. Each direction was trained on
training images that lack its value, with the texts of the domain's other edits to keep. Where the
table says *in a region*, the predicted image is edited only in a polygon around where the value
shows.

*Strength* is that at which the domain's judge, which guided nothing, sees the value on {share:.0%}
of validation images, on a line between two that were tried. `asyrp edit` gives each image 0.5 to
1.5 times that: the least at which the text-image encoder reads the text in it as clearly as
*enough* says (the cosine with the texts' direction). *Enough* leads to the most success within a
*budget* of leakage on validation images, or to {share:.0%} with the least leakage where the budget
does not suffice. *One strength* and *as needed* are success and leakage on these images, at that
strength and with each image's own; what was chosen there flatters.

The columns behind *images* are of test images that lack the value: shares in %, 95 % intervals.
Earlier directions of most of these edits were measured on the same test images.
{note}What the network was trained on is on its card.

*Leakage* is the share of the judge's other attributes that change, without those that go with the
value by the labels (a correlation of at least 0.5); *all* counts these too, and *back* is what the
plain reconstruction changes. Directions without a sheet below do not ship: on validation images
fewer than {worth[0]:.0%} show the value or more than {worth[1]:.0%} leaks, or faces break to the
eye{broken}. Products in {precision}. Machine: a {machine} CPU, torch {torch}.

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
        note=NOTES.get(domain.name, ""),
        broken="".join(f" ({why})" for name, why in BROKEN.items() if name.startswith(domain.name)),
        precision=str(domain.model.dtype).removeprefix("torch."),
        machine=platform.machine(),
        torch=torch.__version__,
    )
    lines, sheets = [], []
    for row in rows:
        shares = ("success", "leakage", "leakage_all", "leakage_back", "clean")
        (begin, end), trained, looked = row["interval"], row["trained"], row["looked"]
        how = [ALONG[trained["along"]], f"{trained['images']} images"]
        how += ["in a region"] if row["region"] else []
        cells = [row["texts"], ", ".join(how)]
        cells += [f"[{'T' if begin is None else begin}, {end}]", f"{row['strength']:g}"]
        cells += ["none" if row["enough"] is None else f"{row['enough']:g}"]
        cells += [f"{looked['budget']:.1%} of {looked['images']}"]
        pairs = (row["validation"][name] for name in ("one strength", "as needed"))
        cells += ["" if pair is None else f"{pair[0]:.0%}, {pair[1]:.1%}" for pair in pairs]
        cells += [row["images"], *(percent(Estimate(**row[name])) for name in shares)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
        follows = ", ".join(row["follows"])
        told = row | {"follows": f"; with it goes: {follows}" if follows else ""}
        sheets += [SHEET.format(domain=domain.name, **told)] if row["ships"] else []
    return head + "\n".join(lines) + "\n" + "".join(sheets)

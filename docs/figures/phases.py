"""Draw the three phases: the released CelebA-HQ curves, and where the cuts fall."""

from pathlib import Path

from common import script, write

from asyrp.method.protocols import Thresholds
from asyrp.networks.released_tables import released_curve, released_intervals
from asyrp.reporting.figures import COLORS, new_figure

COSINES = (1.0, 0.9, 0.7, 0.5)
DRAWN = 0.9  # near that of "face" and "smiling face" by CLIP ViT-B/16


def main(out: Path) -> None:
    """The curves with the phases of one text pair, and the phases of four."""
    figure, (left, right) = new_figure(4.6, 3.4, 2)
    cuts, found = Thresholds(), {c: released_intervals("celeba", c) for c in COSINES}
    x0, xt = released_curve("celeba", "x0_t"), released_curve("celeba", "x")
    levels = (cuts.edit * DRAWN, cuts.boost)
    for curve, level, name, color in zip(
        (x0, xt), levels, ("LPIPS(x, P_t)", "LPIPS(x, x_t)"), COLORS, strict=False
    ):
        left.plot(curve.times, curve.values, color=color, label=name)
        left.axhline(level, color=color, linestyle=":", linewidth=0.8)
    for t, color in zip(found[DRAWN], COLORS, strict=False):
        left.axvline(t, color=color, linestyle="--", linewidth=0.8)
    left.set(xlabel="timestep t", ylabel="LPIPS", xlim=(0, 999))
    left.legend(fontsize=8)
    names = ("edit P_t", "plain DDIM", "boost: eta = 1")
    for row, cosine in enumerate(COSINES):
        t_edit, t_boost = found[cosine]
        ends = (999, t_edit, t_boost, 0)
        for start, end, name, color in zip(ends, ends[1:], names, COLORS, strict=False):
            label = name if row == 0 else None
            right.barh(row, start - end, left=end, height=0.6, color=color, label=label)
    right.set(xlabel="timestep t (the walk goes from left to right)", xlim=(999, 0))
    right.set_yticks(range(len(COSINES)), [f"text cosine {c:g}" for c in COSINES])
    right.set_ylim(len(COSINES) - 0.4, -1.4)
    right.legend(fontsize=8, ncols=3, loc="upper center")
    write("phases", figure, {str(c): one._asdict() for c, one in found.items()}, out)


if __name__ == "__main__":
    script(main)

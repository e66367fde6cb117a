"""The page performance-gpu.md from the numbers of a run; nothing on it is typed by hand."""

from collections.abc import Mapping
from typing import Any

from asyrp.reporting.tables import Row, markdown
from bench.gpu_subjects import Size

ENOUGH = 1.15  # times faster from which compiling is worth its time

Found = Mapping[str, Mapping[str, Any]]
"""Part -> its numbers."""


def page(found: Found, left: Mapping[str, str], sizes: Mapping[str, Size], command: str) -> str:
    """The whole page, of whatever is there."""
    parts = [
        "# Speed and memory on a GPU",
        f"Written by `{command}`; tests marked `gpu` run first.",
    ]
    if "machine" in found:
        parts.append(machine(found["machine"]))
    rows = throughput(found)
    if rows:
        whats = "; ".join(f"{name}: {size.what}, random weights" for name, size in sizes.items())
        parts += ["## Inverting, editing and training", f"{whats}. {ABOUT}", markdown(rows)]
    if "compiled" in found:
        parts += ["## Compiled blocks", compiled(found["compiled"])]
    if left:
        lines = "\n".join(f"- {name}: {why}" for name, why in left.items())
        parts += ["## Not measured", lines]
    return "\n\n".join(parts) + "\n"


ABOUT = (
    "Training is the unedited walk, and one optimiser step a timestep of the editing interval, "
    "with an image tower of CLIP ViT-B/16's shape. Seconds are medians, FLOPs are counted. float32 "
    "is without TF32; bfloat16 has float32 norms, statistics and schedule. Shares are of the rate "
    "of large bfloat16 matrix products on the same GPU."
)


def machine(told: Mapping[str, Any]) -> str:
    """The device, and what it can do at best."""
    gemm = told["gemm"]
    return (
        f"{told['device']}, {told['memory'] / 2**30:.0f} GiB, torch {told['torch']}, CUDA "
        f"{told['cuda']}. Matrix products of {told['size']} x {told['size']}: "
        f"{gemm['float32'] / 1e12:.3g} TFLOP/s in float32, {gemm['bfloat16'] / 1e12:.3g} in "
        f"bfloat16; copying: {told['copy'] / 1e9:.0f} GB/s read and written."
    )


def throughput(found: Found) -> list[Row]:
    """A row for each network, precision and work."""
    rows: list[Row] = []
    for name, part in found.items():
        network, _, precision = name.rpartition("-")
        for work, one in part.get("works", {}).items():
            rows.append(
                {
                    "network": network,
                    "precision": precision,
                    "work": work,
                    "images": part["batch"],
                    "steps": part["steps"],
                    "seconds": f"{one['seconds']:.3g}",
                    "images/s": f"{one['images_per_second']:.3g}",
                    "TFLOP/s": f"{one['rate'] / 1e12:.3g}",
                    "share of bfloat16 peak, %": f"{100 * one['share']:.1f}",
                    "most memory, GB": f"{one['bytes'] / 1e9:.2f}",
                }
            )
    return rows


def compiled(told: Mapping[str, Any]) -> str:
    """Whether compiling is worth it."""
    if "ratio" not in told:
        return f"Not measured: {told['left']}."
    worth = "worth it" if told["ratio"] >= ENOUGH else "not worth it"
    return (
        f"Inversion with every block compiled by itself takes {told['compiled']:.3g} s, as it is "
        f"{told['plain']:.3g} s: {told['ratio']:.2f} times as fast, which is {worth} (asked: "
        f"{ENOUGH})."
    )

"""Whether torch.compile pays on this machine: inversions by the plain and the compiled network.

Run: python benchmarks/compiled.py [--docs docs]
Alternates the two on avatars-64, in float32 and bfloat16, prints a Markdown table and, with --docs,
writes docs/compiled.md. Takes some minutes, most of them the compiler's.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import tyro
from torch import nn
from torch._inductor.utils import fresh_cache

from asyrp.bench import meter
from asyrp.bench.meter import spread
from asyrp.compiled import compile_network, regions_of
from asyrp.method.editing import latents_of, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.networks import load_model
from asyrp.reporting.tables import write_text
from asyrp.runtime.cpu import finish, settle
from asyrp.runtime.fast_blocks import use_fast_blocks, use_plain_blocks

PAGE = """# Whether torch.compile pays

Written by `python benchmarks/compiled.py --docs docs` on {machine}. {model}, {batch} images,
inversion of {steps} steps, no refinement; plain and compiled in turn, {rounds} rounds after one
that does not count. Medians, with the least and the most in brackets. *Faster* is plain over
compiled within a round: below 1, compiling is slower. *Compiling* holds the check of agreement and
starts from an empty cache; *again* is a smaller last batch of {last}, its first run.

{table}

{told}

On a GPU this is untested: none was here. What compiling does to the results is checked whenever
`--compile` is given, on any device, and told in a line.
"""
HEAD = "| precision | plain, s | compiled, s | faster | compiling, s | again, s |"


@dataclass(frozen=True)
class Options:
    """What is measured."""

    steps: int = 6
    batch_size: int = 16
    rounds: int = 15
    last: int = 5
    """Images of a smaller batch, for the time that it compiles."""
    model: str = "avatars-64"
    device: str = "cpu"
    docs: Path | None = None
    """Folder for compiled.md; only printed otherwise."""


class Measured(NamedTuple):
    """Seconds of inversions, and of the compiler."""

    plain: list[float]
    compiled: list[float]
    compiling: float
    again: float
    line: str


def main(options: Options) -> None:
    """Measure both precisions."""
    settle()
    rows: dict[str, Measured] = {}
    for dtype in ("float32", "bfloat16"):
        with fresh_cache():
            rows[dtype] = measured(options, dtype)
        print(f"{dtype}: {rows[dtype].line}", flush=True)
        page = page_of(options, rows)
        print(page, flush=True)
        if options.docs is not None:
            write_text(options.docs / "compiled.md", page)


def measured(options: Options, dtype: Literal["float32", "bfloat16"]) -> Measured:
    """One precision. The blocks are switched, so both are the same network."""
    model = load_model(options.model, options.device, dtype)
    x = random_latents(model, options.batch_size)
    started = time.perf_counter()
    outcome = compile_network(model, options.batch_size)
    compiling = time.perf_counter() - started
    regions = list(regions_of(model.unet))
    calls = [region._compiled_call_impl for region in regions]
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for count in range(options.rounds + 1):
        for on in (False, True) if count % 2 else (True, False):
            switch(model.unet, calls if on else None)
            seconds[on].append(timed(model, x, options.steps))
    switch(model.unet, calls)
    again = timed(model, x[: options.last], options.steps)
    return Measured(seconds[False][1:], seconds[True][1:], compiling, again, outcome.line)


def switch(unet: nn.Module, calls: list[Any] | None) -> None:
    """Compiled, or the lean blocks that run otherwise."""
    regions = list(regions_of(unet))
    for region, call in zip(regions, calls or [None] * len(regions), strict=True):
        region._compiled_call_impl = call
    if calls is None:
        use_fast_blocks(unet)
    else:
        use_plain_blocks(unet)


def timed(model: HSpaceUNet, x: torch.Tensor, steps: int) -> float:
    """Seconds of one inversion."""
    started = time.perf_counter()
    latents_of(model, x, steps)
    finish(model.device)
    return time.perf_counter() - started


def page_of(options: Options, rows: dict[str, Measured]) -> str:
    """The page."""
    lines = [HEAD, "|---" * 6 + "|"]
    for dtype, row in rows.items():
        ratios = [a / b for a, b in zip(row.plain, row.compiled, strict=True)]
        cells = [told(row.plain), told(row.compiled), told(ratios)]
        lines.append(f"| {dtype} | {' | '.join(cells)} | {row.compiling:.0f} | {row.again:.0f} |")
    said = "\n".join(f"- {dtype}: {row.line}." for dtype, row in rows.items())
    return PAGE.format(
        machine=machine(options.device),
        model=options.model,
        batch=options.batch_size,
        steps=options.steps,
        rounds=options.rounds,
        last=options.last,
        table="\n".join(lines),
        told=f"What the check said:\n\n{said}",
    )


def told(values: list[float]) -> str:
    """Median, least and most."""
    found = spread(values)
    return f"{found['median']:.3g} [{found['least']:.3g}, {found['most']:.3g}]"


def machine(device: str) -> str:
    """The machine in words."""
    told = meter.machine()
    where = told["processor"] if device == "cpu" else torch.cuda.get_device_name(device)
    return f"{where}, {told['threads']} threads, torch {told['torch']}"


if __name__ == "__main__":
    main(tyro.cli(Options))

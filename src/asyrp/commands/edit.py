"""asyrp edit."""

from dataclasses import asdict

from asyrp.api import edit
from asyrp.commands.common import (
    applied,
    check_results,
    inverted,
    network,
    pictures,
    progress,
    record,
    say,
    shown,
    write_json,
)  # fmt: skip
from asyrp.errors import AsyrpError
from asyrp.files import atomic_folder
from asyrp.images import write_png
from asyrp.options import Edit

MARK = "edited with asyrp"


def run(options: Edit) -> None:
    """Write one PNG an input, same stem, and run.json."""
    if not options.applying.direction:
        raise AsyrpError("needed at least one --direction FILE[:STRENGTH]; train one: asyrp train")
    check_results(options.out, options.images)
    model = network(options.network)
    chosen = applied(model, options.applying)
    found = pictures(options.images, model)
    size = options.network.batch_size
    done = inverted(model, found.images, found.names, options.steps, options.inverting, size)
    with progress(f"editing {len(found.paths)} images") as report:
        edited = edit(
            model,
            done.latents,
            chosen.attributes,
            options.steps,
            chosen.t_boost,
            options.applying.seed,
            size,
            report=report,
        )
    errors = dict(zip(found.names, done.errors.tolist(), strict=True))
    more = {
        "directions": [asdict(one.card) for one in chosen.saved],
        "t_boost": chosen.t_boost,
        "reconstruction_mse": errors,
    }
    titles = [f"{one.card.source} -> {one.card.target}" for one in chosen.saved]
    with atomic_folder(options.out) as out:
        for path, image in zip(found.paths, shown(model, edited), strict=True):
            write_png(out / f"{path.stem}.png", image, {"Software": MARK, "Edit": str(titles)})
        write_json(out / "run.json", record("edit", options, model, **more))
    say(f"wrote {len(found.paths)} images and run.json to {options.out}")

"""asyrp edit."""

from asyrp.api import edit
from asyrp.commands.common import (
    applied,
    inverted,
    network,
    new_folder,
    pictures,
    progress,
    record,
    say,
    write_json,
)  # fmt: skip
from asyrp.errors import AsyrpError
from asyrp.images import write_png
from asyrp.options import Edit

MARK = "edited with asyrp"


def run(options: Edit) -> None:
    """Write one PNG an input, same stem, and run.json."""
    if not options.applying.direction:
        raise AsyrpError("needed at least one --direction FILE[:STRENGTH]; train one: asyrp train")
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
    out = new_folder(options.out)
    titles = [f"{one.card.source} -> {one.card.target}" for one in chosen.saved]
    for path, image in zip(found.paths, edited, strict=True):
        write_png(out / f"{path.stem}.png", image, {"Software": MARK, "Edit": str(titles)})
    errors = dict(zip(found.names, done.errors.tolist(), strict=True))
    more = {
        "directions": [one.card for one in chosen.saved],
        "t_boost": chosen.t_boost,
        "reconstruction_mse": errors,
    }
    write_json(out / "run.json", record("edit", options, model, **more))
    say(f"wrote {len(found.paths)} images and run.json to {out}")

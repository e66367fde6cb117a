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
    done = inverted(model, found, options.inverting, options.network.batch_size)
    with progress(f"editing {len(found)} images") as report:
        edited = edit(
            model,
            done.latents,
            chosen.attributes,
            options.inverting.steps,
            chosen.t_boost,
            options.applying.seed,
            options.network.batch_size,
            report=report,
        )
    out = new_folder(options.out)
    titles = [f"{one.card.source} -> {one.card.target}" for one in chosen.saved]
    for picture, image in zip(found, edited, strict=True):
        write_png(out / f"{picture.path.stem}.png", image, {"Software": MARK, "Edit": str(titles)})
    errors = {p.path.name: float(e) for p, e in zip(found, done.errors, strict=True)}
    more = {
        "directions": [one.card for one in chosen.saved],
        "t_boost": chosen.t_boost,
        "reconstruction_mse": errors,
    }
    write_json(out / "run.json", record("edit", options, model, **more))
    say(f"wrote {len(found)} images and run.json to {out}")

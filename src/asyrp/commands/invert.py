"""asyrp invert."""

from asyrp.commands.common import (
    check_results,
    inverted,
    network,
    pictures,
    record,
    say,
    shown,
    write_json,
)
from asyrp.files import atomic_folder
from asyrp.images import write_png
from asyrp.latent_files import Latents, save_latents
from asyrp.options import Invert


def run(options: Invert) -> None:
    """Write latents.safetensors, the reconstructions and run.json."""
    check_results(options.out, options.images)
    model = network(options.network)
    found = pictures(options.images, model)
    size = options.network.batch_size
    done = inverted(model, found.images, found.names, options.steps, options.inverting, size)
    names = tuple(found.names)
    errors = tuple(done.errors.tolist())
    kept = Latents(done.latents, names, options.steps, model.fingerprint(), errors)
    by_name = dict(zip(names, errors, strict=True))
    with atomic_folder(options.out) as out:
        save_latents(out / "latents.safetensors", kept)
        for path, image in zip(found.paths, shown(model, done.reconstructions), strict=True):
            write_png(out / f"{path.stem}.png", image)
        write_json(out / "run.json", record("invert", options, model, reconstruction_mse=by_name))
    say(f"wrote {len(names)} reconstructions, their latents and run.json to {options.out}")

"""asyrp invert."""

from asyrp.commands.common import inverted, network, new_folder, pictures, record, write_json
from asyrp.images import write_png
from asyrp.latent_files import Latents, save_latents
from asyrp.options import Invert


def run(options: Invert) -> None:
    """Write latents.safetensors, the reconstructions and run.json."""
    model = network(options.network)
    found = pictures(options.images, model)
    size = options.network.batch_size
    done = inverted(model, found.images, found.names, options.steps, options.inverting, size)
    out = new_folder(options.out)
    names = tuple(found.names)
    errors = tuple(done.errors.tolist())
    kept = Latents(done.latents, names, options.steps, model.fingerprint(), errors)
    save_latents(out / "latents.safetensors", kept)
    for path, image in zip(found.paths, done.reconstructions, strict=True):
        write_png(out / f"{path.stem}.png", image)
    by_name = dict(zip(names, errors, strict=True))
    write_json(out / "run.json", record("invert", options, model, reconstruction_mse=by_name))

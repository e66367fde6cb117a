"""asyrp invert."""

from pathlib import Path

from asyrp.commands.common import inverted, network, new_folder, pictures, record, write_json
from asyrp.images import write_png
from asyrp.latent_files import Latents, save_latents
from asyrp.options import Invert


def run(options: Invert) -> None:
    """Write latents.safetensors, the reconstructions and run.json."""
    model = network(options.network)
    found = pictures(options.images, model)
    done = inverted(model, found, options.inverting, options.network.batch_size)
    out = new_folder(options.out)
    names = tuple(picture.path.name for picture in found)
    errors = tuple(done.errors.tolist())
    kept = Latents(done.latents, names, options.inverting.steps, model.fingerprint(), errors)
    save_latents(out / "latents.safetensors", kept)
    for picture, image in zip(found, done.reconstructions, strict=True):
        write_png(out / f"{Path(picture.path).stem}.png", image)
    by_name = dict(zip(names, errors, strict=True))
    write_json(out / "run.json", record("invert", options, model, reconstruction_mse=by_name))

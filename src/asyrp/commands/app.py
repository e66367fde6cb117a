"""asyrp app."""

import os
import threading

import torch

from asyrp.app.pictures import Limits, Picture
from asyrp.app.studio import FACES, Habits, Studio
from asyrp.app.training import Scorers
from asyrp.commands.common import network, say
from asyrp.domains.base import Domain, load_domain
from asyrp.errors import AsyrpError, need
from asyrp.method.latent_space import Pixels
from asyrp.method.schedule import check_steps
from asyrp.options import App
from asyrp.scorers.load import distance_for, encoder_for

SMALL = 64  # pixels a side up to which a second thread waits longer than it works


def run(options: App) -> None:
    """Serve the page until it is interrupted."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    check(options)
    need("gradio", "app")
    studio = new_studio(options)
    from asyrp.app.server import serving

    with serving(studio, options.host, options.port) as address:
        say(f"the page is at {address} (stop it with Ctrl-C)")
        threading.Event().wait()


def check(options: App) -> None:
    """Refuse what cannot work before anything is loaded."""
    for name in ("people", "upload_megabytes", "upload_megapixels", "threads"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise AsyrpError(f"{name} must be above 0; got {value}")
    if options.directions.exists() and not options.directions.is_dir():
        raise AsyrpError(
            f"--directions needs a folder; {str(options.directions)!r} is a file; name another"
        )


def new_studio(options: App) -> Studio:
    """The networks and habits of a server.

    Raises:
        AsyrpError: a network or a grid that cannot be used.
    """
    spec, guides = options.network.domain, options.guides
    domain = load_domain(spec, options.network.device, options.network.dtype) if spec else None
    model = network(options.network) if domain is None else domain.model
    _, height, width = model.image_shape
    if not isinstance(model.space, Pixels) or model.image_shape[0] != 3:
        raise AsyrpError(
            "the page needs a network of RGB pixels; this one works on "
            f"{model.image_shape[0]} channels or behind a decoder; use: asyrp edit"
        )
    check_steps(options.steps, model.schedule.length)
    small = height * width <= SMALL**2
    torch.set_num_threads(options.threads or (1 if small else torch.get_num_threads()))
    size, pixels = options.upload_megabytes * 1e6, options.upload_megapixels * 1e6
    limits = Limits(int(size), int(pixels))
    habits = Habits(options.steps, options.inverting, limits, options.people)
    if domain is not None:
        tools = Scorers(model, domain.encoder, domain.distance)
        return Studio(tools, options.directions, habits, examples=examples_of(domain))
    tools = Scorers(model, encoder_for(model, guides.encoder), distance_for(model, guides.distance))
    return Studio(tools, options.directions, habits)


def examples_of(domain: Domain) -> list[Picture]:
    """The first test images of a domain, to begin with."""
    images = domain.images("test", FACES)
    about = {"kind": "domain", "domain": domain.name, "split": images.split}
    return [
        Picture(f"{domain.noun.capitalize()} {number + 1}", image.cpu(), {**about, "index": number})
        for number, image in zip(images.numbers, images.x, strict=True)
    ]

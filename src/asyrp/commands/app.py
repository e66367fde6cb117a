"""asyrp app."""

import os
import threading

import torch

from asyrp.app.pictures import Limits
from asyrp.app.studio import Habits, Studio
from asyrp.app.training import Scorers
from asyrp.commands.common import network, on_domain, say
from asyrp.errors import AsyrpError, need
from asyrp.method.latent_space import Pixels
from asyrp.method.schedule import check_steps
from asyrp.options import App
from asyrp.scorers.load import distance_for, encoder_for

SMALL = 64  # pixels a side up to which a second thread waits longer than it works


def run(options: App) -> None:
    """Serve the page until it is interrupted."""
    options = on_domain(options)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    check(options)
    need("gradio", "app")
    from asyrp.app.prefix import check_root

    root = check_root(options.root_path)
    studio = new_studio(options)
    from asyrp.app.server import serving

    with serving(studio, options.host, options.port, root) as address:
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
    model = network(options.network)
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
    guides = options.guides
    tools = Scorers(model, encoder_for(model, guides.encoder), distance_for(model, guides.distance))
    return Studio(tools, options.directions, habits)

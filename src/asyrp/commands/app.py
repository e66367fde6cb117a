"""asyrp app."""

import os
import secrets
import signal
import threading
from collections.abc import Mapping

import torch

from asyrp.app.http_guard import is_local
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

SHORTEST = 12  # letters of a password


def run(options: App) -> None:
    """Serve the page until it is interrupted."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    check(options)
    need("gradio", "app")
    from asyrp.app.prefix import check_root

    root = check_root(options.root_path)
    studio = new_studio(options)
    from asyrp.app.server import serving

    password = "" if is_alone(options) else password_of(os.environ)
    for number in (signal.SIGTERM, signal.SIGHUP):  # pictures of people go at any end
        signal.signal(number, _end)
    where = options.host, options.port, options.public_host, password, root
    with serving(studio, *where) as address:
        say(f"the page is at {address} (stop it with Ctrl-C)")
        if password:
            say(f"others reach it by this machine's address; any name and {told(password)}")
        threading.Event().wait()


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def is_alone(options: App) -> bool:
    """Whether nobody but this machine can reach the page."""
    return is_local(options.host) and not options.public_host


def password_of(environment: Mapping[str, str]) -> str:
    """The password that a page asks for which others can reach.

    Raises:
        AsyrpError: the one given is too short.
    """
    given = environment.get("ASYRP_PASSWORD")
    if given is None:
        return secrets.token_urlsafe(16)
    if len(given) < SHORTEST:
        raise AsyrpError(
            f"ASYRP_PASSWORD needs at least {SHORTEST} letters; got {len(given)}; choose a longer "
            "one, or leave it out and one is made up"
        )
    return given


def told(password: str) -> str:
    """What to say of a password: one that is made up, but none that was chosen."""
    chosen = "ASYRP_PASSWORD" in os.environ
    return "the password of ASYRP_PASSWORD let in" if chosen else f"the password {password} let in"


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
    if not isinstance(model.space, Pixels) or model.image_shape[0] != 3:
        raise AsyrpError(
            "the page needs a network of RGB pixels; this one works on "
            f"{model.image_shape[0]} channels or behind a decoder; use: asyrp edit"
        )
    check_steps(options.steps, model.schedule.length)
    torch.set_num_threads(options.threads or torch.get_num_threads())
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

"""The networks of the page: those of its domain, and of the others that it offers."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from asyrp.app.pictures import Limits, Photo, Picture
from asyrp.app.studio import FACES, Habits, Studio
from asyrp.app.training import Scorers
from asyrp.commands.align import square_of
from asyrp.commands.common import check_guides, network
from asyrp.domains.base import Domain, built_in, load_domain, own_interval, source_of
from asyrp.errors import AsyrpError, MissingExtra
from asyrp.method.latent_space import Pixels
from asyrp.method.schedule import check_steps
from asyrp.options.app import App
from asyrp.options.shared import Unasked
from asyrp.scorers.face_detector import FaceDetector, load_face_detector
from asyrp.scorers.load import distance_for, encoder_for
from asyrp.storage.face_alignment import cut

DOMAIN = "photographs-64"  # where no --domain and no --model is given


def studio_of(options: App) -> Studio:
    """The networks and habits of a server (AsyrpError: a network or a grid that cannot be used)."""
    name, guides = options.network.domain, options.guides
    if not name and isinstance(options.network.model, Unasked):
        name = DOMAIN
    if name:
        studio = _of_domain(options, name)
        if name in built_in():
            others = [other for other in built_in() if other != name]
            studio.others = {other: partial(_of_domain, options, other) for other in others}
        return studio
    check_guides(options)
    model = network(options.network)
    tools = Scorers(model, encoder_for(model, guides.encoder), distance_for(model, guides.distance))
    return _studio(options, tools)


def _of_domain(options: App, name: str) -> Studio:
    domain = load_domain(name, options.network.device, options.network.dtype)
    interval = own_interval(domain.tasks.values())
    tools = Scorers(domain.model, domain.encoder, domain.distance, interval)
    source = source_of(name)
    aligned = getattr(source, "ALIGNED", None) == "celeba"
    align = _aligner(domain.model.image_shape[-1]) if aligned else None
    shown = examples_of(domain, getattr(source, "examples", None))
    return _studio(options, tools, shown, domain, align)


def _studio(options: App, tools: Scorers, *more: Any) -> Studio:
    """A studio, where its network can be used. more: what only that of a domain has."""
    model = tools.model
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
    return Studio(tools, options.directions, habits, *more)


def examples_of(domain: Domain, shown: Callable[[], Tensor] | None) -> list[Picture]:
    """Pictures to begin with: those that a domain shows, or else its first test images."""
    noun, about = domain.noun.capitalize(), {"kind": "domain", "domain": domain.name}
    if shown is not None:
        numbered = list(enumerate(shown()))
        about["split"] = "examples"
    else:
        images = domain.images("test", FACES)
        numbered = list(zip(images.numbers, images.x, strict=True))
        about["split"] = images.split
    return [Picture(f"{noun} {i + 1}", x.cpu(), {**about, "index": i}) for i, x in numbered]


def _aligner(size: int) -> Callable[[Image.Image, str], Photo] | None:
    """What finds the largest face of a photograph; None without the extra that finds faces."""
    try:
        detect = load_face_detector()
    except MissingExtra:
        return None
    return partial(_aligned, detect, size)


def _aligned(detect: FaceDetector, size: int, photo: Image.Image, name: str) -> Photo:
    faces = detect(photo)
    largest = [max(faces, key=lambda face: face.box[2] - face.box[0])] if faces else []
    square = square_of(largest, photo, name, "celeba", size, None)
    return Photo(photo, square, cut(photo, square, size), len(faces))

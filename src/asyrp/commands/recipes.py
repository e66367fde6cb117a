"""What a recipe fills in beside its settings, and what of a run differs from it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from asyrp.commands.common import say
from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection
from asyrp.networks.presets import PRESETS, AttributePreset
from asyrp.networks.released_tables import released_intervals
from asyrp.options import Train
from asyrp.scorers.clip import DEFAULT
from asyrp.settings import IMAGES, RECIPES

FEW = 32  # images to train on
Filled = tuple[float, int | None, int | None]  # lambda_clip, t_edit, t_boost


def followed(options: Train, model: HSpaceUNet, guides: Sequence[TextDirection]) -> Train:
    """The options with what the recipe says of the network and the texts; what was asked for stays.

    The interval begins at T, and strength 1 is what was trained. t_edit is the published one of
    the text pair, or read off the network's released table; without either it is measured.

    Raises:
        AsyrpError: several targets, of which the recipe says different things.
    """
    if options.recipe == "default":
        return options
    said = {_said(options, guide) for guide in guides}
    if len(said) > 1:
        raise AsyrpError(
            f"--recipe {options.recipe} has other lambdas or intervals for each of these targets; "
            "train them one by one"
        )
    ((lambda_clip, t_edit, t_boost),) = said
    return replace(
        options,
        training=replace(options.training, lambda_clip=lambda_clip),
        t_start=model.schedule.length - 1 if options.t_start is None else options.t_start,
        t_edit=t_edit if options.t_edit is None else options.t_edit,
        t_boost=t_boost if options.t_boost is None else options.t_boost,
        strength=1.0 if options.strength is None else options.strength,
    )


def _said(options: Train, guide: TextDirection) -> Filled:
    own = options.training.lambda_clip
    preset = PRESETS.get(options.network.model)
    if preset is None:
        return own, None, None
    published = _published(preset.attributes.values(), options.source, guide.asked[1])
    t_edit = None
    if preset.tables is not None:
        t_edit = released_intervals(preset.tables, guide.cosine).t_edit
    if options.recipe == "paper" and published is not None and published.t_edit is not None:
        return published.lambda_clip, published.t_edit, preset.t_boost
    return own, t_edit, preset.t_boost


def _published(
    attributes: Iterable[AttributePreset], source: str, target: str
) -> AttributePreset | None:
    return next((one for one in attributes if (one.source, one.target) == (source, target)), None)


def tell(options: Train, images: int, encoder: str) -> None:
    """Say what of a run differs from its recipe, and whether its images are few."""
    if options.recipe != "default":
        told = differences(options, images, encoder)
        say(f"recipe {options.recipe}; what differs (and what it says): {'; '.join(told) or '-'}")
    if images < FEW:
        say(f"warning: {images} images to train on are few; 64 or more are usual")


def differences(options: Train, images: int, encoder: str) -> list[str]:
    """What of a run is not as its recipe says, each as "name is (said)"."""
    wanted, found = (asdict(settings) for settings in (RECIPES[options.recipe](), options.training))
    own = ("layout", "lambda_clip", "checkpointing")  # of the network, of the texts, of memory
    told = [
        f"{name} {found[name]} ({wanted[name]})"
        for name in wanted
        if found[name] != wanted[name] and name not in own
    ]
    if images != IMAGES[options.recipe]:
        told.append(f"{images} images ({IMAGES[options.recipe]})")
    if options.inverting.refinements or options.inverting.convention != "source":
        told.append(f"{options.inverting} (convention source, no refinements)")
    if encoder != DEFAULT:
        told.append(f"encoder {encoder} ({DEFAULT})")
    if options.strength != 1:
        told.append(f"strength {options.strength} (1)")
    return told

"""What `asyrp world` trains for the drawn faces."""

from collections.abc import Mapping
from functools import partial

from asyrp.domains.avatars import train_diffusion, train_encoder, train_judge, train_segmenter
from asyrp.domains.training_loop import Inputs, Part


def parts(given: Inputs) -> Mapping[str, Part]:
    """The networks of the domain, in the order in which `asyrp world train` makes them."""
    modules = {
        "diffusion": train_diffusion,
        "encoder": train_encoder,
        "judge": train_judge,
        "segmenter": train_segmenter,
    }
    return {
        name: Part(one.STEPS, partial(one.run, given.cache, given.out))
        for name, one in modules.items()
    }

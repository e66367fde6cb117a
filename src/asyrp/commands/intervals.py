"""asyrp intervals."""

from dataclasses import asdict, replace
from typing import Any

from asyrp.commands.common import check_guides, describe, network, say
from asyrp.commands.forecast import foresee, inverting_passes
from asyrp.commands.inverting import folder_images, inverter_of
from asyrp.commands.outputs import on_domain
from asyrp.experiments.plots import plot_curves, save_figure
from asyrp.finders.prepare import MOST_CURVE_IMAGES, curves_of
from asyrp.method.editing_interval import Found, find_intervals
from asyrp.method.protocols import Thresholds
from asyrp.method.text_direction import new_text_direction
from asyrp.options.editing import Intervals
from asyrp.scorers.load import distance_for, encoder_for
from asyrp.storage.files import atomic_folder
from asyrp.storage.json_files import write_json
from asyrp.storage.results import check_results


def run(options: Intervals) -> dict[str, Any]:
    """Write intervals.json and curves.png."""
    options = on_domain(options)
    check_results(options.out, None, ["intervals.json", "curves.png"])
    model = network(options.network)
    check_guides(options)
    found = folder_images(options.images, model, MOST_CURVE_IMAGES)
    images = found.stacked()
    distance = distance_for(model, options.guides.distance)
    encoder = encoder_for(model, options.guides.encoder)
    guide = new_text_direction(encoder, options.source, options.target)
    asked = {
        "edit": options.threshold_edit,
        "boost": options.threshold_boost,
        "start": options.threshold_start,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    thresholds = replace(distance.thresholds, **given)
    size, count = options.network.at_once, len(found)
    passes = inverting_passes(count, options.steps, options.inverting, options.inversion)
    would = f"measure the curves of {count} images into {options.out}"
    foresee(would, model, passes + count * options.steps, size, kept=4 * count)
    done = inverter_of(model, options, options.steps)(images, found.names)
    grid = (options.steps, size, options.inversion)
    curves = curves_of(model, done.reconstructions, done.latents, distance, *grid)
    result = find_intervals(curves, guide.cosine, thresholds)
    numbers = as_json(result, guide.cosine, thresholds, distance.name)
    with atomic_folder(options.out) as out:
        write_json(out / "intervals.json", numbers)
        save_figure(plot_curves(result, guide.cosine, thresholds), out / "curves.png")
    say(describe(result, guide.cosine))
    return {"out": options.out, **numbers}


def as_json(
    found: Found, cosine: float, thresholds: Thresholds, distance: str
) -> dict[str, object]:
    """The numbers behind the plot."""
    return {
        "t_start": found.t_start,
        "t_edit": found.t_edit._asdict(),
        "t_boost": found.t_boost._asdict(),
        "text_cosine": cosine,
        "thresholds": asdict(thresholds),
        "distance": distance,
        "times": found.curves.times,
        "x0": found.curves.x0.mean(1).tolist(),
        "xt": found.curves.xt.mean(1).tolist(),
    }

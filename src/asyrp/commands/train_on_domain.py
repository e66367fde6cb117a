"""What a domain says of a training: texts to keep, where the target shows, when it is edited."""

from collections.abc import Mapping
from dataclasses import replace

from asyrp.domains.avatars.captions import others
from asyrp.domains.base import Task, others_of, own_interval, source_of
from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import EditInterval
from asyrp.options.editing import Train
from asyrp.settings import Region

Tasks = Mapping[str, Task]  # by target text


def tasks_of(options: Train) -> Tasks:
    """The tasks of --domain; none without one."""
    name = options.network.domain
    return {task.target: task for task in source_of(name).TASKS.values()} if name else {}


def on_tasks(options: Train, tasks: Tasks) -> Train:
    """The options with the region and the interval of a domain's tasks; what was asked for stays.

    Raises:
        AsyrpError: --bound, and a region was given or the targets are not known to show in one; or
            timesteps that were asked for do not fit the interval.
    """
    if options.bound:
        if options.training.region:
            raise AsyrpError("got --bound and --train.region; needed one of them")
        region = _region(options, tasks)
        options = replace(options, training=replace(options.training, region=region))
    interval = own_interval(tasks.values())
    if interval is None or options.recipe != "default":
        return options
    asked = (options.t_start, options.t_edit, options.t_boost)
    own = (interval.t_start, interval.t_edit, interval.t_boost)
    when = EditInterval(*(b if a is None else a for a, b in zip(asked, own, strict=True)))
    return replace(options, t_start=when.t_start, t_edit=when.t_edit, t_boost=when.t_boost)


def texts_to_keep(options: Train, tasks: Tasks, target: str) -> tuple[str, ...]:
    """Those of --keep, and with --keep-others what the domain's other tasks are about.

    Without a domain these are the attributes of drawn faces.

    Raises:
        AsyrpError: --keep-others, and the target is of no task, so that its own might be kept.
    """
    more: list[str] = []
    if options.keep_others and tasks and target not in tasks:
        raise AsyrpError(
            f"--keep-others needs a target of a task of --domain; got {target!r}; known: "
            f"{', '.join(map(repr, tasks))}; say what to keep: --keep TEXT"
        )
    if options.keep_others:
        more = others_of(tasks.values(), target) if tasks else others(target)
    return tuple(dict.fromkeys((*options.keep, *more)))


def _region(options: Train, tasks: Tasks) -> Region:
    regions = {tasks[text].region if text in tasks else () for text in options.target}
    if len(regions) > 1 or () in regions:
        known = ", ".join(repr(text) for text, task in tasks.items() if task.region)
        raise AsyrpError(
            "--bound needs a target that --domain knows the place of, or several of one place; "
            f"got {', '.join(map(repr, options.target))}; known: {known or 'none'}; "
            "a place of your own: --train.region"
        )
    (region,) = regions
    return region

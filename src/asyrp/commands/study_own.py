"""asyrp study on a network of the user's: the studies that ask a judge."""

from dataclasses import replace
from typing import Any

from asyrp.commands.common import check_guides, network, say
from asyrp.commands.own_ground import (
    Ground,
    Walks,
    budget,
    check_own,
    ground_of,
    questions_for,
    warned,
)
from asyrp.domains.lab import Lab, saturated_on, train_direction
from asyrp.domains.scenes import Scene, scene_of
from asyrp.domains.tasks import Task
from asyrp.errors import AsyrpError
from asyrp.experiments.studies.catalogue import CHOOSING, STUDIES
from asyrp.experiments.studies.common import Bench, Learned
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import check_steps
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.metrics.features import EncoderFeatures
from asyrp.metrics.zero_shot import Questions, ZeroShotJudging
from asyrp.options.compare import Study
from asyrp.runtime.cpu import settle
from asyrp.scorers.load import distance_for, encoder_for


def measured(options: Study) -> dict[str, Any]:
    """The numbers of a study, with the network and the judge that they are of."""
    questions = checked(options)
    if warning := warned(options, questions):
        say(f"warning: {warning}")
    settle()
    bench = bench_of(options, questions)
    say(f"studying {options.name} on {options.faces} images, judge: {bench.lab.judging.name}")
    return {
        **STUDIES[options.name].measure(bench),
        "network": options.network.model,
        "judge": bench.lab.judging.name,
        "questions": questions.values,
        "phases": bench.first.phases._asdict(),
        "strength": bench.first.saved.card.strength,
        **({"warning": warning} if warning else {}),
    }


def checked(options: Study) -> Questions:
    """The judge's questions.

    Raises:
        AsyrpError: what cannot work, before anything is loaded.
    """
    name, least, counts = options.name, STUDIES[options.name].least, options.counts
    check_own(options, f"the study {name!r}")
    questions = questions_for(options)
    if questions is None:
        raise AsyrpError(
            f"the study {name!r} asks a judge; give --judge FILE.json with --attribute and --value"
        )
    if name == "layers" and options.network.prompt:
        raise AsyrpError("layers cuts a network at every block, which needs one without captions")
    if options.direction:
        raise AsyrpError(
            f"the study {name!r} trains its own direction; leave --direction out, or use diagnose"
        )
    if not least <= options.faces <= counts.test_faces:
        raise AsyrpError(
            f"the study {name!r} needs {least} to {counts.test_faces} images (--test-faces are "
            f"read); got {options.faces}; change --faces or --test-faces"
        )
    if counts.train_faces < 2:
        raise AsyrpError(f"--train-faces must be 2 or more; got {counts.train_faces}")
    return questions


def bench_of(options: Study, questions: Questions) -> Bench:
    """Networks, inverted images, and a direction trained on them."""
    lab = lab_of(options, questions)
    own = options.own
    task = Task(own.target, own.source, own.target, own.attribute, own.value)
    walks = Walks(lab.settings.steps, options.steps, options.network.batch_size)
    ground = ground_of(options, lab, task, walks)
    check_lacking(options, lab, task, ground)
    say(f"training on {len(ground.train.numbers)} images")
    learned = trained(lab, task, ground, walks)

    def lacking(scene: Scene, task: Task) -> list[int]:
        return judged_without(lab, scene, task)

    scenes = (ground.train, ground.validation, ground.test)
    return Bench(lab, [learned], *scenes, options.faces, lacking)


def lab_of(options: Study, questions: Questions) -> Lab:
    """Every network; the judge's encoder lends its features to Frechet distances."""
    model = network(options.network)
    check_guides(options.network.model, options.guides)
    check_steps(options.steps, model.schedule.length)
    check_blocks(options.name, model)
    judge = encoder_for(model, questions.encoder)
    return Lab(
        model,
        encoder_for(model, options.guides.encoder),
        distance_for(model, options.guides.distance),
        ZeroShotJudging(judge, questions),
        EncoderFeatures(judge),
        budget(options.training),
    )


def check_blocks(name: str, model: HSpaceUNet) -> None:
    """Raise AsyrpError for a network that cannot be cut at other blocks."""
    if name == "layers" and isinstance(model.unet, FixedPrompt):
        raise AsyrpError("layers cuts a network at every block, which needs one without captions")


def judged_without(lab: Lab, scene: Scene, task: Task) -> list[int]:
    """Rows in which the judge does not see the task's value."""
    wanted = lab.judging.wanted(task.factor, task.value)
    seen = lab.judging.answers(scene.images)[task.factor]
    return [row for row, answer in enumerate(seen) if answer != wanted]


def check_lacking(options: Study, lab: Lab, task: Task, ground: Ground) -> None:
    """Raise AsyrpError where too few images lack the value, before anything is trained."""
    for scene, needed, option in (
        (ground.test, options.faces, "--images"),
        (ground.train, 1, "--train-images"),
        (ground.validation, int(options.name in CHOOSING), "--train-images to tune on"),
    ):
        found = len(judged_without(lab, scene, task))
        if found < needed:
            raise AsyrpError(
                f"needed {needed} images of {option} in which the judge does not see "
                f"{task.value!r}; among {len(scene.numbers)} are {found}; give others, or change "
                "--faces or --validation-faces"
            )


def trained(lab: Lab, task: Task, ground: Ground, walks: Walks) -> Learned:
    """f_t of the train images, at the strength where the validation images saturate."""
    saved = train_direction(lab, task, ground.phases, ground.train)
    few = ground.validation.images
    at, steps = ground.phases.t_start, walks.training
    held = scene_of(lab.model, few, "validation", at, steps, walks.batch_size)
    strength = saturated_on(lab, task, ground.phases, saved, held)
    card = replace(saved.card, strength=strength)
    return Learned(task, ground.phases, saved._replace(card=card))

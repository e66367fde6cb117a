"""What `asyrp world` trains for photographs: each part with its steps, its weights and its card."""

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from torch import nn

from asyrp.domains.avatars.diffusion import SCHEDULER_CONFIG, save_pipeline
from asyrp.domains.photographs import train_diffusion, train_encoder, train_judge
from asyrp.domains.photographs.captions import ATTRIBUTES, questions
from asyrp.domains.photographs.cards import (
    BEGUN,
    DIFFUSION_CARD,
    ENCODER_CARD,
    JUDGE_CARD,
    NOTE,
    TRAINED,
)
from asyrp.domains.photographs.judge import AttributeJudge, Reading, save_judge
from asyrp.domains.photographs.pictures import CLEARED, Labelled, read
from asyrp.domains.training_loop import Inputs, LoopStep, Part
from asyrp.errors import AsyrpError
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.schedule import from_config
from asyrp.method.text_direction import text_direction
from asyrp.metrics.probe import area_under_curve, probe
from asyrp.scorers.word_encoder import save_encoder
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_text
from asyrp.storage.untrusted.tensors import load_safetensors

MEASURED, PROBED = 48, 1_000


def parts(given: Inputs) -> Mapping[str, Part]:
    """The networks of the domain, in the order in which `asyrp world train` makes them.

    Raises:
        AsyrpError: no pictures or attributes were given, or they do not fit each other.
    """
    cache, out, begun = given.cache, given.out, given.begun
    if given.images is None or given.attributes is None:
        raise AsyrpError(
            "photographs-64 is trained on photographs of yours: needed --images DIR|ZIP and "
            "--attributes FILE"
        )
    data = read(given.images, given.attributes, cache)

    def diffusion(steps: int) -> Iterator[LoopStep]:
        pictures, checkpoint = data.split("diffusion").pictures, cache / "diffusion.safetensors"
        yield from train_diffusion.train(pictures, begun, steps, checkpoint)
        finish_diffusion(data, checkpoint, out, steps)

    def encoder(steps: int) -> Iterator[LoopStep]:
        checkpoint = cache / "encoder.safetensors"
        yield from train_encoder.train(data.split("encoder"), steps, checkpoint)
        finish_encoder(data, checkpoint, out, steps)

    def judge(steps: int) -> Iterator[LoopStep]:
        checkpoint = cache / "judge.safetensors"
        yield from train_judge.train(data.split("judge"), steps, checkpoint)
        finish_judge(data, checkpoint, out, steps)

    encoder_steps = train_encoder.PLAIN + train_encoder.ROBUST
    return {
        "diffusion": Part(train_diffusion.STEPS, diffusion),
        "encoder": Part(encoder_steps, encoder),
        "judge": Part(train_judge.STEPS, judge),
    }


def averaged(network: nn.Module, checkpoint: Path) -> nn.Module:
    """A network with the averaged weights of a checkpoint, rounded to the fp16 that is kept."""
    state = load_safetensors(checkpoint)
    ema = {key.removeprefix("ema."): v for key, v in state.items() if key.startswith("ema.")}
    network.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in ema.items()}
    )
    return network.eval().requires_grad_(False)


def finish_diffusion(data: Labelled, checkpoint: Path, out: Path, steps: int) -> None:
    """Write the pipeline and its card: what an inversion loses, and where h holds the meaning."""
    unet = averaged(train_diffusion.new_unet(), checkpoint)
    assert isinstance(unet, UNet2DModel)
    save_pipeline(unet, out / "photographs-64")
    model = HSpaceUNet(unet, from_config(SCHEDULER_CONFIG), "v_prediction")
    unseen, known = data.split("test"), data.split("encoder")
    done = invert(model, from_uint8(unseen.pictures[:MEASURED]), refinements=1)
    rows = np.random.default_rng(0).permutation(len(known.names))[:PROBED]
    labels = {name: known.column(name)[rows] for name in ATTRIBUTES}
    table = probe(model, from_uint8(known.pictures[rows]), labels)
    write_text(out / "photographs-64.md", diffusion_card(done.errors, table, data, steps))


def diffusion_card(
    errors: torch.Tensor, table: Mapping[str, Mapping[int, float]], data: Labelled, steps: int
) -> str:
    """The card of the diffusion network, Markdown."""
    times = list(next(iter(table.values())))
    head = f"| attribute | {' | '.join(f't = {t}' for t in times)} |\n|{'---|' * (len(times) + 1)}"
    rows = [
        f"| {name} | {' | '.join(f'{row[t]:.2f}' for t in times)} |" for name, row in table.items()
    ]
    told = TRAINED.format(pictures=len(data.split("diffusion").names), cleared=" or ".join(CLEARED))
    return DIFFUSION_CARD.format(
        data=told if steps else BEGUN,
        steps=steps,
        batch=train_diffusion.BATCH,
        seen=steps * train_diffusion.BATCH,
        rate=train_diffusion.RATE,
        ema=train_diffusion.EMA,
        snr_cap=train_diffusion.SNR_CAP,
        machine=f"{torch.get_num_threads()} threads of a {platform.machine()} CPU",
        torch=torch.__version__,
        count=len(errors),
        mse=float(errors.mean()),
        worst=float(errors.max()),
        probed=PROBED,
        table="\n".join([head, *rows]),
        note=NOTE,
    )


def scores(encoder: TextImageEncoder, data: Labelled) -> dict[str, float]:
    """attribute -> area under the curve of cos(E(picture), dT), dT between all its two texts."""
    images = [from_uint8(data.pictures[i : i + 200]) for i in range(0, len(data.names), 200)]
    with torch.no_grad():
        features = torch.cat([encoder.image_features(part) for part in images])
    found = {}
    for name in ATTRIBUTES:
        yes, no = questions(name)
        towards = encoder.text_features(yes).mean(0) - encoder.text_features(no).mean(0)
        cosines, shows = (features @ towards).numpy(), data.column(name)
        found[name] = area_under_curve(cosines[shows], cosines[~shows])
    return found


def finish_encoder(data: Labelled, checkpoint: Path, out: Path, steps: int) -> None:
    """Write the encoder and its card."""
    reader = averaged(train_encoder.Reader(), checkpoint)
    assert isinstance(reader, train_encoder.Reader)
    encoder = reader.encoder
    save_encoder(encoder, out / "encoder.safetensors")
    found = scores(encoder, data.split("test"))
    towards = [text_direction(encoder, "face", questions(name)[0][0]) for name in ATTRIBUTES]
    apart = torch.stack(towards)
    cosines = (apart @ apart.T - torch.eye(len(apart))).abs()
    quality = (
        f"{np.mean(list(found.values())):.3f} on the mean. Directions of different attributes have "
        f"cosines of {cosines.mean():.2f} on the mean, {cosines.max():.2f} at most"
    )
    text = ENCODER_CARD.format(
        words=len(encoder.vocabulary),
        pictures=len(data.split("encoder").names),
        steps=steps,
        batch=train_encoder.BATCH,
        robust=train_encoder.ROBUST,
        attacks=train_encoder.ATTACKS,
        radius=train_encoder.RADIUS,
        unseen=len(data.split("test").names),
        quality=quality,
        table=auc_table(found),
        note=NOTE,
    )
    write_text(out / "encoder.md", text)


def finish_judge(data: Labelled, checkpoint: Path, out: Path, steps: int) -> None:
    """Write the judge with thresholds from validation pictures, and its card."""
    judge = averaged(AttributeJudge({name: Reading() for name in ATTRIBUTES}), checkpoint)
    assert isinstance(judge, AttributeJudge)
    judge = train_judge.calibrated(judge, data.split("validation"))
    save_judge(judge, out / "judge.safetensors")
    found = {name: one.auc for name, one in judge.readings.items()}
    text = JUDGE_CARD.format(
        trusted=f"{len(judge.trusted)} of {len(found)}",
        pictures=len(data.split("judge").names),
        validation=len(data.split("validation").names),
        steps=steps,
        batch=train_judge.BATCH,
        table=auc_table(found),
        note=NOTE,
    )
    write_text(out / "judge.md", text)


def auc_table(found: Mapping[str, float]) -> str:
    """attribute and area under the curve, best first."""
    rows = sorted(found.items(), key=lambda item: -item[1])
    return "| attribute | area under the curve |\n|---|---|\n" + "\n".join(
        f"| {name} | {value:.3f} |" for name, value in rows
    )

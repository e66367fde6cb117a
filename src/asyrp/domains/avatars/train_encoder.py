"""Training of the built-in text-image encoder: matching captions, and directions of exact swaps."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asyrp.domains.augmentation import degraded
from asyrp.domains.avatars.avatars import FACTORS, draw, sample_face
from asyrp.domains.avatars.captions import caption, language, pair
from asyrp.domains.avatars.measure_encoder import card, evaluate
from asyrp.domains.avatars.pictures import by_processes, kept, labels, pictures
from asyrp.domains.training_loop import LoopSettings, LoopStep, optimise
from asyrp.runtime.generators import seeded
from asyrp.scorers.word_encoder import WordEncoder, save_encoder
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_text
from asyrp.storage.untrusted.tensors import load_safetensors

FACES, SWAPS, UNSEEN, BATCH, PAIRS, SEED = 16_000, 4_000, 0.12, 96, 48, 7
STEPS = 920  # of the shipped weights


def swap(index: int) -> tuple[str, str]:
    """Factor and new value of swap number `index`."""
    rng = np.random.default_rng([99, index])
    factor = str(rng.choice(list(FACTORS)))
    return factor, str(rng.choice(list(FACTORS[factor])))


def draw_swap(index: int) -> np.ndarray:
    """Face number `index` of the split with one value swapped, (64, 64, 3) uint8."""
    return draw(sample_face("encoder", index, UNSEEN).replaced(*swap(index)))


def swapped_pictures(count: int, cache: Path) -> np.ndarray:
    """The first faces of the split, each with one value swapped, (count, 64, 64, 3) uint8."""
    path = cache / f"encoder-swaps-{count}.npy"
    return kept(path, lambda: by_processes(draw_swap, range(count), 2))


def matches(mentions: Sequence[Mapping[str, str]], rows: np.ndarray) -> Tensor:
    """Which pictures every caption is true of, (captions, pictures) bool, from their labels."""
    fits = torch.ones(len(mentions), len(rows), dtype=torch.bool)
    names = list(FACTORS)
    for i, mention in enumerate(mentions):
        for factor, value in mention.items():
            column = rows[:, names.index(factor)]
            fits[i] &= torch.from_numpy(column == list(FACTORS[factor]).index(value))
    return fits


def encoder_loss(
    encoder: WordEncoder, data: np.ndarray, swaps: np.ndarray, seed: int
) -> Callable[[int], Tensor]:
    """SigLIP's sigmoid loss (Zhai et al. 2023) over all caption-picture pairs, plus `directional`.

    A caption has many positives: every picture of the batch that it is true of.
    """
    known = labels("encoder", len(data), UNSEEN)

    def loss_at(step: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(data), size=BATCH)
        made = [caption(sample_face("encoder", int(i), UNSEEN), rng) for i in rows]
        images = degraded(from_uint8(data[rows]), generator)
        text = encoder.embed(encoder.tokens([c.text for c in made]))
        logits = text @ encoder.image_features(images).T * encoder.logit_scale.exp()
        signs = matches([c.mentions for c in made], known[rows]).float() * 2 - 1
        contrast = -functional.logsigmoid(signs * (logits + encoder.logit_bias)).sum(1).mean() / 8
        return contrast + 2 * directional(encoder, data, swaps, rng, generator)

    return loss_at


def directional(
    encoder: WordEncoder,
    data: np.ndarray,
    swaps: np.ndarray,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """What makes directions usable: dI of an exact swap against the texts' directions.

    With n = T(new value) - T(noun) and o = T(old value) - T(noun), each over its norm: the sum of
    1 - cos(dI, n - o), of (0.65 - cos(dI, n))+, and 4 times the mean squared cosine of dI with
    the n of swaps of other factors.
    """
    picked = [i for i in rng.integers(len(swaps), size=PAIRS) if _visible_swap(int(i))]
    texts = [two for i in picked for two in _text_pairs(int(i), rng)]
    both = torch.cat([from_uint8(data[picked]), from_uint8(swaps[picked])])
    order = torch.arange(len(both)).view(2, -1).T.flatten()  # each picture beside its swap
    features = encoder.image_features(degraded(both[order], generator)).view(len(picked), 2, -1)
    image = functional.normalize(features[:, 1] - features[:, 0], dim=1)
    words = encoder.embed(encoder.tokens([t for two in texts for t in two])).view(-1, 2, 2, 128)
    new, old = functional.normalize(words[:, :, 1] - words[:, :, 0], dim=2).unbind(1)
    exact = 1 - (image * functional.normalize(new - old, dim=1)).sum(1)
    towards = (0.65 - (image * new).sum(1)).clamp(min=0)
    codes = torch.tensor([list(FACTORS).index(swap(int(i))[0]) for i in picked])
    cross = (new @ image.T)[codes[:, None] != codes[None]]
    return exact.mean() + towards.mean() + 4 * cross.square().mean()


def _visible_swap(index: int) -> bool:
    face, (factor, value) = sample_face("encoder", index, UNSEEN), swap(index)
    return face.label(factor) not in (None, value)


def _text_pairs(index: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """(noun, new value) and (noun, old value)."""
    face, (factor, value) = sample_face("encoder", index, UNSEEN), swap(index)
    return [pair(factor, value, rng), pair(factor, face.values[factor], rng)]


def train(
    data: np.ndarray, swaps: np.ndarray, steps: int, checkpoint: Path | None = None
) -> Iterator[LoopStep]:
    """Train; the last step's `ema` is the encoder."""
    encoder = seeded(1, lambda: WordEncoder(language()))
    settings = LoopSettings(steps, learning_rate=2e-3, ema_decay=0.995, weight_decay=0.01)
    yield from optimise(encoder, encoder_loss(encoder, data, swaps, SEED), settings, checkpoint)


def run(cache: Path, out: Path, steps: int = STEPS) -> Iterator[LoopStep]:
    """Draw what is not in the cache, train (or continue), and write weights and their card.

    Writes encoder.safetensors and encoder.md into `out`; the checkpoint stays in `cache`.
    """
    data = pictures("encoder", FACES, cache, UNSEEN)
    swaps = swapped_pictures(SWAPS, cache)
    checkpoint = cache / f"encoder-{steps}.safetensors"
    started, done = time.monotonic(), 0
    for step in train(data, swaps, steps, checkpoint):
        done += 1
        yield step
    pace = f"{(time.monotonic() - started) / done:.2f} s a step" if done else "trained before"
    finish(checkpoint, out, cache, steps, pace)


def finish(checkpoint: Path, out: Path, cache: Path, steps: int, pace: str) -> None:
    """Write the averaged network of a checkpoint and its measured card."""
    state = load_safetensors(checkpoint)
    encoder = WordEncoder(language())
    ema = {key.removeprefix("ema."): v for key, v in state.items() if key.startswith("ema.")}
    encoder.load_state_dict({key: v.half().float() for key, v in ema.items()})
    encoder.eval().requires_grad_(False)
    save_encoder(encoder, out / "encoder.safetensors")
    data = f"{FACES} faces (unseen {UNSEEN}) and {SWAPS} exact swaps of the split `encoder`"
    recipe = f"{steps} steps of {BATCH} captioned pictures and up to {PAIRS} swaps, {pace}"
    text = card(evaluate(encoder, cache), data, recipe)
    write_text(out / "encoder.md", text)

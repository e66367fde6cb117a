"""No edit, a perfect edit and a wrong edit: which measures reward the perfect one."""

import numpy as np
import pytest
from torch import Tensor

from asyrp.metrics.calibration import LINES, calibrated, scores
from asyrp.metrics.table import Pictures, Scorers, Wish, features_in, of_sets, per_image, summarised
from asyrp.reporting.statistics import Estimate, of_mean

COUNT = 24


def of(**values: float) -> dict[str, Estimate]:
    return {name: Estimate(value, value, value, COUNT) for name, value in values.items()}


def test_a_measure_that_rewards_no_change_is_no_score() -> None:
    lines = dict(
        zip(
            LINES,
            (
                of(clean=0.0, lpips=0.0, leakage=0.0, fid=3.0),
                of(clean=0.9, lpips=0.2, leakage=0.0, fid=1.0),
                of(clean=0.0, lpips=0.2, leakage=0.2, fid=2.0),
            ),
            strict=True,
        )
    )
    assert scores(lines) == ("clean", "fid")
    page = calibrated({"ours": of(clean=0.5, lpips=0.1, fid=1.5)}, lines)
    first, second = page.split("No scores, since a perfect edit is not the best by them (lpips):")
    assert "| method | clean | fid |" in first
    assert "| a perfect edit | 0.900 [0.900, 0.900] | 1.000" in first
    assert "| method | lpips |" in second
    assert [row.split(" | ")[0] for row in second.strip().splitlines()[2:]] == [
        "| ours",
        *(f"| {line}" for line in LINES),
    ]
    worse = {**lines, "a perfect edit": of(clean=0.9, lpips=0.2, leakage=0.0, fid=2.5)}
    assert scores(worse) == ("clean",)


def test_on_drawn_faces_success_is_not_punished() -> None:
    pytest.importorskip("resvg_py")
    from asyrp.domains.avatars.avatars import Face, draw, sample_face
    from asyrp.domains.avatars.features import RESIDUAL, JudgeFeatures
    from asyrp.domains.avatars.judge import load_judge
    from asyrp.domains.avatars.judging import AvatarJudge
    from asyrp.scorers.load import load_distance
    from asyrp.storage.images import from_uint8

    def drawn(faces: list[Face]) -> Tensor:
        return from_uint8(np.stack([draw(face) for face in faces]))

    pool = [sample_face("validation", number) for number in range(110)]
    faces = [face for face in pool if face.values["mouth"] != "smiling"][:COUNT]
    showing = drawn([face for face in pool if face.values["mouth"] == "smiling"])
    sources = drawn(faces)
    made = [
        drawn([face.replaced("mouth", value) for face in faces]) for value in ("smiling", "sad")
    ]
    judge = load_judge()
    scorers = Scorers(
        judge=AvatarJudge(judge),
        distance=load_distance("st-lpips-alex"),
        features=JudgeFeatures(judge, RESIDUAL, pooled=True),
    )

    def measured(edits: Tensor, showing: Tensor | None) -> dict[str, Estimate]:
        shown = Pictures(sources, edits, None, showing)
        values = per_image(shown, scorers, Wish("mouth", "smiling"))
        return {
            **summarised(values),
            **of_sets([shown], scorers, features_in([shown], scorers)),
        }

    edits = dict(zip(LINES, (sources, *made), strict=True))
    now = {name: measured(images, showing) for name, images in edits.items()}
    before = {name: measured(images, None) for name, images in edits.items()}
    assert {"success", "clean", "fid"} <= set(scores(now))
    assert not {"lpips", "leakage"} & set(scores(now))
    assert not {"fid", "kid"} & set(scores(before))
    assert now["a perfect edit"]["success"] == of_mean(np.ones(COUNT))

"""A page of unchosen edits for people to judge by eye, and their answers beside the judge's.

The page is the app's ballot by itself, so that answers of both are read alike.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from asyrp.app.ballots import WORDS, Ballot, Side
from asyrp.app.ballots import page as ballot_page
from asyrp.commands.evaluate_pictures import MatchedPictures
from asyrp.errors import AsyrpError, need
from asyrp.metrics.of_image import Pictures
from asyrp.metrics.table import Scorers, Wish, judge_edits
from asyrp.options.evaluate import Evaluate
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.storage.files import read_object

FILE = "look.html"
MOST = 64  # the first by name: nobody chose them
JUDGED = ("A", "B", "neither"), ("good", "bad")  # answers that count


def sides(matched: MatchedPictures) -> list[Pictures]:
    """The edits, and those of the other method where there are some; the first MOST."""
    every = [matched.runs[0].edits, *matched.against]
    return [Pictures(matched.runs[0].sources[:MOST], edits[:MOST]) for edits in every]


def page(options: Evaluate, matched: MatchedPictures) -> str:
    """look.html: one edit at a time in random order, or two side by side, blind."""
    shown, seed = sides(matched), options.seed
    folders = [one for one in (options.edits[0], options.against) if one is not None]
    methods = [Side(one.name, one.name) for one in folders]
    ballot = Ballot(methods, shown[0].sources, [one.edits for one in shown], seed)
    css, js = (files("asyrp.app").joinpath(f"page.{kind}").read_text() for kind in ("css", "js"))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Edits by eye</title>"
        f"<style>{css} body {{ font: 16px system-ui; max-width: 60rem; margin: 2rem auto; "
        "padding: 1rem; }</style></head>"
        f"<body>{ballot_page(ballot, seed)}<script>{js}</script></body></html>"
    )


def compared(
    path: Path, matched: MatchedPictures, scorers: Scorers, wish: Wish | None
) -> dict[str, Any]:
    """What people answered in a file of that page, and how far the judge agrees.

    answered: how many count, all but the unsure. agreement: share of equal answers. kappa: Cohen's
    (1960), 0 where they agree by chance alone, None where all answers are one. of_people, of_judge:
    answer -> share.

    Raises:
        AsyrpError: no judge, or a file of other edits.
    """
    if scorers.judge is None or wish is None:
        raise AsyrpError("--answers are compared with a judge; give --attribute and --value")
    shown, known = sides(matched), JUDGED[len(matched.against) == 0]
    values = [judge_edits(one, scorers.judge, wish) for one in shown]
    if len(shown) == 2:
        ahead = np.sign(values[0]["clean"] - values[1]["clean"])
        judge = np.select([ahead > 0, ahead < 0], ["A", "B"], "neither")
    else:
        judge = np.where(values[0]["success"] == 1, "good", "bad")
    answers = read_answers(path, known, len(judge))
    faces = [face for face, answer in answers.items() if answer in known]
    people = [answers[face] for face in faces]
    metrics: Any = need("sklearn.metrics", "find")
    kappa = float(metrics.cohen_kappa_score(people, judge[faces], labels=list(known)))
    return {
        "answered": len(people),
        "agreement": of_mean((np.array(people) == judge[faces]).astype(float)),
        "kappa": kappa if np.isfinite(kappa) else None,
        "of_people": _shares(np.array(people), known),
        "of_judge": _shares(judge[faces], known),
    }


def _shares(answers: np.ndarray, known: tuple[str, ...]) -> dict[str, Estimate]:
    return {word: of_mean((answers == word).astype(float)) for word in known}


def read_answers(path: Path, known: tuple[str, ...], count: int) -> Mapping[int, str]:
    """face -> answer, as look.html or the app saved them.

    Raises:
        AsyrpError: no such file, too few answers, or those of other edits.
    """
    allowed = {*known, *(WORDS["single"] if "good" in known else ())}
    try:
        answers = {int(one["face"]): str(one["answer"]) for one in read_object(path)["answers"]}
    except (KeyError, TypeError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} holds no answers of a look.html: {error}") from error
    odd = [f"{f}: {a}" for f, a in answers.items() if f not in range(count) or a not in allowed]
    if odd or sum(answer in known for answer in answers.values()) < 2:
        raise AsyrpError(
            f"needed 2 answers or more among {', '.join(known)} about faces 0 to {count - 1}; "
            f"{str(path)!r} has {odd[0] if odd else 'fewer'}; answer the look.html of these edits"
        )
    return answers

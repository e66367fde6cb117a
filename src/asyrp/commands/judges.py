"""The judges that `asyrp evaluate` takes: a domain's, none, or questions in a file."""

from pathlib import Path

from asyrp.errors import AsyrpError
from asyrp.metrics.zero_shot import Questions, read_questions
from asyrp.scorers.load import same_encoder

NONE = "none"


def questions_of(judge: str) -> Questions | None:
    """The questions of a FILE.json; None for the judge of a domain and for none.

    Raises:
        AsyrpError: a file that makes no judge.
    """
    if Path(judge).suffix != ".json":
        return None
    if not Path(judge).is_file():
        raise AsyrpError(
            f"unknown judge {judge!r}; needed a domain, {NONE}, or a FILE.json of questions that "
            "exists"
        )
    return read_questions(Path(judge))


def partiality(questions: Questions, guide: str) -> str:
    """What is said where judge and guide are one network; "" where they are two."""
    if not same_encoder(questions.encoder, guide):
        return ""
    return (
        f"the judge asks {questions.encoder}, which --encoder names as the guide too; edits look "
        "good to the network that guided them, so give the judge another"
    )


def described(questions: Questions) -> str:
    """What was asked, for the notes of a table."""
    asked = "; ".join(f"{name}: {' | '.join(texts)}" for name, texts in questions.values.items())
    return (
        f"zero-shot, encoder {questions.encoder}, scale {questions.scale:g}, texts as they are "
        f"({asked})"
    )

"""The TOML file of a domain of the user's own: what it may say, and what each part is for."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from asyrp.domains.base import SPLITS, Networks, Split, Task
from asyrp.errors import AsyrpError
from asyrp.method.editing_interval import EditInterval
from asyrp.metrics.zero_shot import CLIP_SCALE, Questions, check_questions
from asyrp.storage.shipped import shipped
from asyrp.storage.untrusted.texts import read_bounded

TEMPLATE = shipped(__package__, "own.toml").read_text("utf-8")

PLAIN = re.compile(r"\w[\w .+-]{0,79}")  # no other folder's, and none that is hidden
TOP: Mapping[str, type] = {
    "name": str, "noun": str, "model": dict, "guides": dict, "images": dict, "judge": dict,
    "scorers": dict, "tasks": list,
}  # fmt: skip
MODEL = {"name": str, "prompt": str, "guidance": float, "class_label": int}
GUIDES = {"encoder": str, "distance": str}
FOLDERS: Mapping[str, type] = dict.fromkeys(SPLITS, str)
SCORERS = {"features": str, "segmenter": str, "identity": str}
TIMES = {"t_start": int, "t_edit": int, "t_boost": int}
TASK = {
    "name": str, "source": str, "target": str, "attribute": str, "value": str, "unseen": bool,
    "prompt": str, "class_label": int, **TIMES,
}  # fmt: skip


@dataclass(frozen=True)
class OwnFile:
    """What a file says. conditions: task -> (prompt, class) of its target."""

    text: str
    name: str
    noun: str
    networks: Networks
    questions: Questions | None
    tasks: Mapping[str, Task]
    conditions: Mapping[str, tuple[str, int | None]]
    features: str
    segmenter: str
    identity: str


def read_own(path: Path) -> OwnFile:
    """Read and check a file; nothing it names is loaded.

    Raises:
        AsyrpError: no such file, no TOML, or something in it that cannot be.
    """
    try:
        text = read_bounded(path).decode("utf-8-sig")
        content = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise AsyrpError(
            f"needed a domain's TOML file; {str(path)!r} does not read ({error}); asyrp domain "
            "init writes one"
        ) from error
    try:
        return _checked(path.parent, text, content)
    except AsyrpError as error:
        raise AsyrpError(f"{str(path)!r} makes no domain: {error}") from error


def _checked(base: Path, text: str, content: Mapping[str, Any]) -> OwnFile:
    top = table(content, "the file", TOP, ("model", "images", "tasks"))
    model = table(top["model"], "[model]", MODEL, ("name",))
    guides = table(top.get("guides", {}), "[guides]", GUIDES, ("encoder", "distance"))
    folders = table(top["images"], "[images]", FOLDERS, ("train", "test"))
    scorers = table(top.get("scorers", {}), "[scorers]", SCORERS)
    networks = Networks(
        placed(base, model["name"]),
        placed(base, guides["encoder"]),
        placed(base, guides["distance"]),
        model.get("prompt", ""),
        float(model.get("guidance", 1.0)),
        model.get("class_label"),
        {cast(Split, split): base / folder for split, folder in folders.items()},
    )
    questions = _questions(base, top.get("judge"))
    rows = [table(row, "[[tasks]]", TASK, ("name", "source", "target")) for row in top["tasks"]]
    tasks = {row["name"]: _task(row, questions) for row in rows}
    if not tasks or len(tasks) < len(rows):
        raise AsyrpError("needed one of [[tasks]] or more, each with a name of its own")
    conditions = {
        row["name"]: (row.get("prompt", ""), row.get("class_label"))
        for row in rows
        if "prompt" in row or "class_label" in row
    }
    other = {name: placed(base, scorers.get(name, "")) for name in SCORERS}
    return OwnFile(
        text, top.get("name", "own"), top.get("noun", "image"), networks, questions, tasks,
        conditions, other["features"] or "judge", other["segmenter"], other["identity"],
    )  # fmt: skip


def table(
    content: Any, place: str, kinds: Mapping[str, type], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A table of a file, whose keys are known, of their kinds, and those needed there.

    Raises:
        AsyrpError: it is not so.
    """
    if not isinstance(content, dict):
        raise AsyrpError(f"{place} must be a table")
    for name, value in content.items():
        if name not in kinds:
            raise AsyrpError(f"{place} has {name!r}; it may have: {', '.join(kinds)}")
        kind = (int, float) if kinds[name] is float else kinds[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kinds[name] is not bool):
            raise AsyrpError(f"{name!r} of {place} must be of kind {kinds[name].__name__}")
    for name in needed:
        if name not in content:
            raise AsyrpError(f"{place} lacks {name!r}")
    return content


def placed(base: Path, name: str) -> str:
    """A name as it is, or the path beside the file that it means."""
    return str(base / name) if name and (base / name).exists() else name


def _questions(base: Path, judge: Any) -> Questions | None:
    if judge is None:
        return None
    found = check_questions({**judge, "encoder": placed(base, str(judge.get("encoder", "")))})
    return Questions(found.encoder, found.values, found.scale or CLIP_SCALE)


def _task(row: Mapping[str, Any], questions: Questions | None) -> Task:
    if not PLAIN.fullmatch(row["name"]):
        raise AsyrpError(f"files are named after tasks: needed a plain name, got {row['name']!r}")
    told = [name for name in TIMES if name in row]
    if told and len(told) < len(TIMES):
        raise AsyrpError(f"{row['name']!r} has {told[0]}; t_start, t_edit and t_boost go together")
    attribute, value = row.get("attribute", ""), row.get("value", "")
    if attribute and questions is not None and value not in questions.values.get(attribute, ()):
        raise AsyrpError(
            f"{row['name']!r} asks {attribute} = {value!r}, for which the judge has no question"
        )
    if bool(attribute) != bool(value) or (attribute and questions is None):
        raise AsyrpError(f"{row['name']!r} needs attribute and value together, and a [judge]")
    interval = EditInterval(*(row[name] for name in TIMES)) if told else None
    texts = (row["name"], row["source"], row["target"])
    return Task(*texts, attribute, value, row.get("unseen", False), interval=interval)

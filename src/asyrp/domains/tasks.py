"""The edits that comparisons and studies are made of: eight seen attributes and two unseen ones."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from asyrp.domains.avatars.avatars import UNSEEN, Face
from asyrp.errors import AsyrpError


class Task(NamedTuple):
    """A text pair, and the factor and value of the world that say whether the edit was made."""

    name: str
    source: str
    target: str
    factor: str
    value: str

    @property
    def unseen(self) -> bool:
        """Whether the diffusion model never saw the value."""
        return UNSEEN.get(self.factor) == self.value


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("smiling", "face", "smiling face", "mouth", "smiling"),
        Task("sad", "face", "sad face", "mouth", "sad"),
        Task("angry", "face", "angry face", "brows", "angry"),
        Task("closed", "person", "person with closed eyes", "eyes", "closed"),
        Task("glasses", "person", "person with glasses", "eyewear", "glasses"),
        Task("beard", "person", "person with a beard", "facial_hair", "beard"),
        Task("bald", "person", "bald person", "hair", "bald"),
        Task("blonde", "person", "person with blonde hair", "hair_color", "blonde"),
        Task("blue", "person", "person with blue hair", "hair_color", "blue"),
        Task("green", "person", "person with green skin", "skin", "green"),
    )
}


def task_of(name: str) -> Task:
    """A task by name.

    Raises:
        AsyrpError: unknown name.
    """
    if name not in TASKS:
        raise AsyrpError(f"unknown task {name!r}; needed one of: {', '.join(TASKS)}")
    return TASKS[name]


def lacking(faces: Sequence[Face], task: Task) -> list[int]:
    """Rows of the faces that show the factor, but not the value."""
    shown = [face.label(task.factor) for face in faces]
    return [row for row, label in enumerate(shown) if label not in (None, task.value)]

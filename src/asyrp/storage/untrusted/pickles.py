"""What a torch checkpoint's pickle would call, read off its opcodes without running one.

torch's restricted reader refuses code as well, but it lets a few bytes ask for a terabyte
(`bytearray(10**12)`, or a byte that `codecs.encode` doubles forty times), and what it refuses it
names in many ways.
"""

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from asyrp.storage.untrusted.bounds import LARGEST_INDEX

OLD_PICKLES = 5  # before torch 1.6: magic number, version, machine, content, storage keys

# all that tensors in dicts and lists are made of
TENSOR_PARTS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch Size",
    "torch device",
}
STORAGES = ("Storage",)
CALLS_BY_STACK = ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")


def foreign_names(path: Path) -> list[str]:
    """The functions and classes beyond tensors that a checkpoint asks for, as "module name".

    Raises:
        ValueError: no pickle, or cut short.
        OverflowError: an index larger than any checkpoint's.
    """
    return sorted({name for name in _names(path) if not _is_harmless(name)})


def _names(path: Path) -> Iterator[str]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            first = io.BytesIO(
                file.read(LARGEST_INDEX)
            )  # in memory: no length in it can ask for more
        for _ in range(OLD_PICKLES):
            yield from _of_pickle(first)
        return
    with zipfile.ZipFile(path) as archive:
        indices = [entry for entry in archive.infolist() if entry.filename.endswith(".pkl")]
        if sum(entry.file_size for entry in indices) > LARGEST_INDEX:
            raise OverflowError(indices[0].filename)
        for entry in indices:
            yield from _of_pickle(io.BytesIO(archive.read(entry)))


def _of_pickle(file: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument)
        elif opcode.name in CALLS_BY_STACK:
            yield f"opcode {opcode.name}"


def _is_harmless(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    if module in ("torch", "torch.storage") and attribute.endswith(STORAGES):
        return True
    return name in TENSOR_PARTS or (module == "torch" and attribute in DTYPES)


DTYPES = {"float16", "float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool"}

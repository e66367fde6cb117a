"""What a torch checkpoint's pickle would call, read off its opcodes without running one.

torch's restricted reader refuses code as well, but it lets a few bytes ask for a terabyte
(`bytearray(10**12)`, or a byte that `codecs.encode` doubles forty times) or for years (the hash of
a tuple that holds another one twice, forty times over; keys whose hashes are all the same), and
what it refuses it names in many ways.
"""

import io
import pickletools
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from asyrp.storage.untrusted.bounds import LARGEST_INDEX, MOST_WORK

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
MARK = 0  # on the stack, where a list or tuple begins
LONG = ("LONG", "LONG1", "LONG4")
SLOW = 200  # what a key costs whose hash an attacker can choose: beyond 32 bits, or a tuple
# which of the objects that an opcode takes are hashed, counted from the top of the stack
NONE, KEYS, ALL = slice(0), slice(1, None, 2), slice(None)
HASHED = {"SETITEM": KEYS, "SETITEMS": KEYS, "DICT": KEYS, "ADDITEMS": ALL, "FROZENSET": ALL}
CALLS_BY_STACK = ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")


def foreign_names(path: Path) -> list[str]:
    """The functions and classes beyond tensors that a checkpoint asks for, as "module name".

    Raises:
        ValueError, OverflowError: no pickle, or cut short; an index larger than any checkpoint's.
    """
    return sorted({name for name in _names(path) if not _is_harmless(name)})


def _names(path: Path) -> Iterator[str]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            # in memory: no length in it can ask for more
            first = io.BytesIO(file.read(LARGEST_INDEX))
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
    stack: list[int] = []  # of each object the number of parts that its hash goes through
    memo: dict[int, int] = {}
    work = 0
    for opcode, argument, _ in pickletools.genops(file):
        name, size = opcode.name, 1
        parts: list[int] = []
        if name == "GLOBAL":
            yield str(argument)
        elif name in CALLS_BY_STACK:
            yield f"opcode {name}"
        if name.endswith("PUT") or name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = stack[-1]
            continue
        if name.endswith("GET"):
            size = memo[int(argument or 0)]
        elif opcode.stack_before:
            parts = _taken(stack, opcode.stack_before)
            size += sum(parts) if "TUPLE" in name else 0
        slow = sum(one > 1 for one in parts[HASHED.get(name, NONE)]) + (name in LONG)
        work += size + SLOW * slow
        if work > MOST_WORK:
            raise OverflowError("it would take far too long to read")
        stack += [MARK if one is pickletools.markobject else size for one in opcode.stack_after]


def _taken(stack: list[int], wanted: Sequence[object]) -> list[int]:
    """Take from a stack what an opcode does; `stackslice` is all down to a mark."""
    taken = []
    for one in reversed(wanted):
        while one is pickletools.stackslice and stack[-1] != MARK:
            taken.append(stack.pop())
        if one is not pickletools.stackslice:
            taken.append(stack.pop())
    return taken


def _is_harmless(name: str) -> bool:
    module, _, attribute = name.partition(" ")
    if module in ("torch", "torch.storage") and attribute.endswith(STORAGES):
        return True
    return name in TENSOR_PARTS or (module == "torch" and attribute in DTYPES)


DTYPES = {"float16", "float32", "float64", "bfloat16", "int32", "int64", "uint8", "bool"}

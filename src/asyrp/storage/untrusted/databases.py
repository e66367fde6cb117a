"""LMDB files, read with plain reads: the library maps a file into memory, where a page that a
damaged file lacks kills the process.

The format is that of LMDB 0.9 (lmdb.h and mdb.c of OpenLDAP): pages of one size, two meta pages
first, then a B+ tree whose leaves hold keys and values; large values lie in pages of their own.
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct, error
from typing import IO, NamedTuple, Self

from asyrp.errors import AsyrpError
from asyrp.storage.untrusted.bounds import DEEPEST_TREE, LARGEST_PICTURE

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, KINDS = 0x01, 0x02, 0x04, 0x2F  # kinds of pages, and the bits of all
LARGE, OTHER = 0x01, 0x06  # nodes whose value lies elsewhere; those of several values a key
EMPTY = 2**64 - 1
HEAD = 16  # bytes before the content of a page
PAGE = Struct("<QHHHH")  # number, padding, kind, end of the pointers, beginning of the nodes
META = Struct("<IIQQ")  # magic, version, address, size of the map
TREE = Struct("<IHHQQQQQ")  # page size, flags, depth, three counts of pages, entries, root
ENDS = Struct("<QQ")  # last page, number of the transaction
NODE = Struct("<HHHH")  # three parts of a size or page, length of the key


class Node(NamedTuple):
    """A key of a leaf, and where its value lies: bytes of the file from `start`."""

    key: bytes
    start: int
    size: int


class Database:
    """The main table of an LMDB folder, by key; AsyrpError where it is damaged, also later."""

    def __init__(self, folder: Path):
        self.path = folder / "data.mdb"
        try:
            self._file: IO[bytes] = self.path.open("rb")
        except OSError as caught:
            raise AsyrpError(
                f"{str(folder)!r} is not a readable LMDB: {caught.strerror}"
            ) from caught
        try:
            self._size = self.path.stat().st_size
            _, self.page_size, self._last, self._root = self._newest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def keys(self) -> Iterator[bytes]:
        """Every key."""
        yield from (node.key for node in self._nodes())

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key and its value."""
        yield from ((node.key, self._bytes(node.start, node.size)) for node in self._nodes())

    def __contains__(self, key: bytes) -> bool:
        return any(node.key == key for node in self._nodes(key))

    def _newest(self) -> tuple[int, int, int, int]:
        first = self._read_meta(0)
        second = self._read_meta(first[1])
        if first[1] != second[1]:
            raise self._damaged("its two meta pages disagree")
        _, page_size, last, _ = found = max(first, second)
        told = (last + 1) * page_size
        if self._size < told:
            raise self._damaged(f"it has {self._size:,} of the {told:,} bytes that it tells of")
        return found

    def _read_meta(self, start: int) -> tuple[int, int, int, int]:
        """The number of its transaction, bytes of a page, the last page, the root of the tree."""
        head = self._bytes(start + HEAD, META.size + 2 * TREE.size + ENDS.size)
        magic, version, *_ = META.unpack_from(head)
        if magic != MAGIC:
            raise AsyrpError(f"{str(self.path)!r} is not a readable LMDB: it begins otherwise")
        if version != VERSION:
            raise self._damaged(f"its format has the version {version}; needed: {VERSION}")
        page_size = TREE.unpack_from(head, META.size)[0]
        _, flags, _, _, _, _, _, root = TREE.unpack_from(head, META.size + TREE.size)
        if page_size not in (2**n for n in range(8, 17)) or flags:
            raise self._damaged(f"its pages have {page_size} bytes and the kind {flags}")
        last, transaction = ENDS.unpack_from(head, META.size + 2 * TREE.size)
        return transaction, page_size, last, root

    def _nodes(self, only: bytes | None = None) -> Iterator[Node]:
        """The nodes of all leaves; with `only` those of the one leaf that can hold that key."""
        if self._root == EMPTY:
            return
        seen, stack = 0, [(self._root, 0)]
        while stack:
            number, depth = stack.pop()
            seen += 1
            if depth > DEEPEST_TREE or seen > self._last:
                raise self._damaged("its pages lead in a circle")
            page = self._page(number)
            kind = PAGE.unpack_from(page)[2] & KINDS
            if kind == BRANCH:
                children = [*self._children(page)]
                if only is not None:
                    below = [child for key, child in children[1:] if key <= only]
                    children = [(b"", below[-1] if below else children[0][1])]
                stack += [(child, depth + 1) for _, child in reversed(children)]
            elif kind == LEAF:
                yield from self._leaf(page, number)
            else:
                raise self._damaged(f"page {number} is of the kind {kind}")

    def _children(self, page: bytes) -> Iterator[tuple[bytes, int]]:
        for at in self._pointers(page):
            low, middle, high, length = self._node(page, at)
            yield self._part(page, at + NODE.size, length), low | middle << 16 | high << 32

    def _leaf(self, page: bytes, number: int) -> Iterator[Node]:
        for at in self._pointers(page):
            low, high, flags, length = self._node(page, at)
            size, value = low | high << 16, at + NODE.size + length
            key = self._part(page, at + NODE.size, length)
            if flags & OTHER:
                raise self._damaged("it has tables within tables, or several values a key")
            if flags & LARGE:
                elsewhere = int.from_bytes(self._part(page, value, 8), "little")
                yield Node(key, self._large(elsewhere, size), size)
            else:
                self._part(page, value, size)
                yield Node(key, number * self.page_size + value, size)

    def _large(self, number: int, size: int) -> int:
        """Where a value begins that has pages of its own."""
        head = self._page(number)
        pages = int.from_bytes(head[12:HEAD], "little")
        if PAGE.unpack_from(head)[2] & KINDS != OVERFLOW or HEAD + size > pages * self.page_size:
            raise self._damaged(f"page {number} does not hold the {size:,} bytes of a value")
        return number * self.page_size + HEAD

    def _pointers(self, page: bytes) -> list[int]:
        """Where the nodes of a page begin."""
        end = PAGE.unpack_from(page)[3]
        if not HEAD < end <= self.page_size or end % 2:
            raise self._damaged("a page without nodes")
        return [int.from_bytes(page[at : at + 2], "little") for at in range(HEAD, end, 2)]

    def _node(self, page: bytes, at: int) -> tuple[int, int, int, int]:
        try:
            low, middle, high, length = NODE.unpack_from(page, at)
        except error as caught:
            raise self._damaged("a node beyond its page") from caught
        return low, middle, high, length

    def _part(self, page: bytes, start: int, size: int) -> bytes:
        if start + size > len(page):
            raise self._damaged("a node beyond its page")
        return page[start : start + size]

    def _page(self, number: int) -> bytes:
        page = self._bytes(number * self.page_size, self.page_size)
        if not 2 <= number <= self._last or PAGE.unpack_from(page)[0] != number:
            raise self._damaged(f"there is no page {number}")
        return page

    def _bytes(self, start: int, size: int) -> bytes:
        if size > LARGEST_PICTURE or start + size > self._size:
            raise self._damaged(f"it ends before {size:,} bytes at {start:,}")
        self._file.seek(start)
        found = self._file.read(size)
        if len(found) < size:  # somebody cuts it while it is read
            raise self._damaged("it was cut short")
        return found

    def _damaged(self, reason: str) -> AsyrpError:
        return AsyrpError(f"{str(self.path)!r} is damaged ({reason}); download it again")

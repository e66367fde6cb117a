"""What goes wrong, said in one line: what was needed, what came, what to do."""

import importlib
import unicodedata
from types import ModuleType

LONGEST = 1200  # letters of a message; untrusted files may put megabytes into one
_STEER = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # categories of Unicode that are not shown
_SHOWN = "\n\t\u200c\u200d"  # of them; the last two join letters, in Persian and in emoji


def printable(text: object) -> str:
    """Text that a terminal only shows: what would steer it is written as its escape.

    Untrusted names and texts may hold control characters, of either width, and marks that turn
    the direction of writing round.
    """
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one) in _STEER and one not in _SHOWN
        else one
        for one in str(text)
    )


def first_line(error: BaseException, most: int = 300) -> str:
    """What an error of others says in its first line; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


class AsyrpError(ValueError):
    """An input that cannot be used. The command line prints it and exits with 2."""

    def __init__(self, message: str) -> None:
        cut = len(message) > LONGEST
        super().__init__(printable(f"{message[:900]} ... {message[-250:]}" if cut else message))


class MissingExtra(AsyrpError):
    """A package that only some users need is not installed."""


def need(module: str, extra: str) -> ModuleType:
    """Import a module of an optional extra.

    Raises:
        MissingExtra: naming the pip line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(missing(module, extra)) from error


def missing(module: str, extra: str) -> str:
    """What to do about a package of an optional extra that is not installed."""
    return (
        f"this needs the package {module!r}, which is not installed; "
        f"run: pip install 'asyrp[{extra}]'"
    )

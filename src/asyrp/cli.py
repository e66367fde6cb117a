"""The command line: parse, run one command, turn errors into one line and exit code 2."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import tyro

from asyrp.errors import AsyrpError
from asyrp.options import COMMANDS
from asyrp.options.editing import train_of
from asyrp.settings import RECIPES, Recipe

DESCRIPTION = (
    "Edit images in the semantic latent space of a frozen diffusion model (Asyrp). "
    "`asyrp COMMAND --help` lists a command's options, `asyrp --version` says the version."
)


MEMORY = (
    "out of memory; lower --batch-size (or --train.batch-size), give --train.checkpointing or "
    "--dtype bfloat16, or name fewer or smaller pictures"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 2 for an input that cannot be used."""
    if argv is None:
        argv = sys.argv[1:]
    if list(argv) == ["--version"]:
        from asyrp import __version__

        print(f"asyrp {__version__}")
        return 0
    options = parsed(argv)
    name = next(name for name, kind in COMMANDS.items() if isinstance(options, kind))
    return _guarded(name, options)


def parsed(argv: Sequence[str]) -> Any:
    """The options of a command line; SystemExit where it cannot be read."""
    commands = COMMANDS | {"train": train_of(recipe_in(argv))}
    return tyro.extras.subcommand_cli_from_dict(
        commands, prog="asyrp", description=DESCRIPTION, args=list(argv)
    )


def recipe_in(argv: Sequence[str]) -> Recipe:
    """The last recipe that is named; the default for none, or one that does not exist."""
    words = " ".join(argv).replace("--recipe ", "--recipe=").split(" ")
    named = [word.removeprefix("--recipe=") for word in words if word.startswith("--recipe=")]
    return next((one for one in RECIPES if named and one == named[-1]), "default")


def _guarded(name: str, options: object) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            command = import_module(f"asyrp.commands.{name}")
            with import_module("asyrp.commands.downloads").shown_downloads():
                command.run(options)
    except AsyrpError as error:
        return _refuse(str(error))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        return _refuse(f"{error.strerror or error}{place}; nothing was left half written")
    except (MemoryError, RuntimeError) as error:
        from asyrp.runtime.batching import out_of_memory

        if not out_of_memory(error):
            raise
        return _refuse(f"{MEMORY} ({str(error)[:200] or 'no more told'})")
    except KeyboardInterrupt:
        return _refuse("stopped; run the same command again to continue")
    return 0


def _warn(message: Warning | str, *_: object) -> None:
    print(f"asyrp: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _refuse(message: str) -> int:
    print(f"asyrp: {' '.join(message.split())}", file=sys.stderr)
    return 2


def script() -> None:
    """The `asyrp` command."""
    raise SystemExit(main())

"""The command line: parse, run one command, turn errors into one line and exit code 2."""

import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from typing import Any

import tyro

from asyrp.errors import AsyrpError, missing, printable
from asyrp.options import COMMANDS, GROUPS, asking
from asyrp.options.editing import train_of
from asyrp.options.finding import find_of, finder_first
from asyrp.runtime.waiting import wait_passively
from asyrp.settings import RECIPES, Recipe

DESCRIPTION = "Edit images in the semantic latent space of a frozen diffusion model (Asyrp)."
LONG = (  # commands that can say how long they would work
    *("demo", "edit", "sample", "align", "invert", "train", "find", "intervals"),
    *("evaluate", "compare", "study", "reproduce", "directions", "world"),
)
EVERY = (
    "asyrp COMMAND --help   a command's options",
    "asyrp --version        the version",
    "--json                 any command: the result as JSON on standard output",
    "--dry-run              long commands: what it would do, how long, in how much memory",
)
EXTRAS = {"matplotlib": "plots", "transformers": "encoders"}  # imported where they are needed
READER_GONE = 141  # what a shell says of a program that wrote into a closed pipe
MEMORY = (
    "out of memory; lower --batch-size (or --train.batch-size), give --train.checkpointing or "
    "--dtype bfloat16, or name fewer or smaller pictures"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 2 for an input that cannot be used."""
    wait_passively()
    if argv is None:
        argv = sys.argv[1:]
    if list(argv) == ["--version"]:
        from asyrp import __version__

        print(f"asyrp {__version__}")
        return 0
    if list(argv) in ([], ["-h"], ["--help"]):
        print(overview(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    told = StringIO()
    try:
        with redirect_stderr(told):
            asked = read(argv)
    except SystemExit as end:
        if refused := _own_error(end):  # by the settings themselves, which the parser puts in a box
            return _refuse(str(refused))
        sys.stderr.write(told.getvalue())
        raise
    except AsyrpError as error:
        return _refuse(str(error))
    name = next(name for name, kind in COMMANDS.items() if isinstance(asked.command, kind))
    if asked.dry_run and name not in LONG:
        return _refuse(f"{name} does not work long; --dry-run is for: {', '.join(LONG)}")
    return _guarded(name, asked)


def overview() -> str:
    """The commands, by what they are for."""
    lines = [DESCRIPTION, "", "usage: asyrp COMMAND [OPTIONS]"]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:11} {kind.__doc__.splitlines()[0]}" for name, kind in commands.items()]
    return "\n".join([*lines, "", *EVERY])


def _own_error(error: BaseException | None) -> AsyrpError | None:
    """Our own error behind another one."""
    while error is not None and not isinstance(error, AsyrpError):
        error = error.__cause__ or error.__context__
    return error


def parsed(argv: Sequence[str]) -> Any:
    """The options of a command line's command; SystemExit where it cannot be read."""
    return read(argv).command


def read(argv: Sequence[str]) -> Any:
    """A command line: its command, and what every command can be asked; see `asking`."""
    commands = COMMANDS | {"train": train_of(recipe_in(argv)), "find": find_of(argv)}
    kind = asking(commands)
    return tyro.cli(kind, prog="asyrp", description=DESCRIPTION, args=finder_first(argv))


def recipe_in(argv: Sequence[str]) -> Recipe:
    """The last recipe that is named; the default for none, or one that does not exist."""
    words = " ".join(argv).replace("--recipe ", "--recipe=").split(" ")
    named = [word.removeprefix("--recipe=") for word in words if word.startswith("--recipe=")]
    return next((one for one in RECIPES if named and one == named[-1]), "default")


def _guarded(name: str, asked: Any) -> int:
    options, quiet = asked.command, redirect_stdout(sys.stderr) if asked.json else nullcontext()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            command = import_module(f"asyrp.commands.{name}")
            if hasattr(command, "begin"):  # what it says before torch is loaded
                command.begin(options)
            with quiet:
                result = _run(command, options, asked.dry_run)
            if asked.json:
                plain = import_module("asyrp.storage.json_files").plain
                print(json.dumps(plain({"command": name, **(result or {})}), allow_nan=False))
    except AsyrpError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _refuse(missing(str(error.name), extra))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _refuse(_told(error))
    except (MemoryError, RuntimeError) as error:
        if not import_module("asyrp.runtime.batching").out_of_memory(error):
            raise
        return _refuse(f"{MEMORY} ({str(error)[:200] or 'no more told'})")
    except KeyboardInterrupt:
        return _refuse("stopped; run the same command again to continue")
    return 0


def _told(error: OSError) -> str:
    place = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{place}; nothing was left half written"


def _run(command: Any, options: Any, dry: bool) -> Any:
    """What a command made, or with --dry-run would have made."""
    outputs = import_module("asyrp.commands.outputs")
    with import_module("asyrp.commands.downloads").shown_downloads():
        if not dry:
            with outputs.guarded(options):
                return command.run(options)
        forecast = import_module("asyrp.commands.forecast")
        try:
            with outputs.protected(options), forecast.forecasting():
                return command.run(options)
        except forecast.Forecast as end:
            print(printable(forecast.described(end.told)))
            return end.told


def _warn(message: Warning | str, *_: object) -> None:
    print(f"asyrp: warning: {' '.join(printable(message).split())}", file=sys.stderr)


def _refuse(message: str) -> int:
    print(f"asyrp: {' '.join(printable(message).split())}", file=sys.stderr)
    return 2


def _tell_error(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """An error of the program, whose text may be a stranger's."""
    told = "".join(traceback.format_exception(kind, error, trace))
    print(printable(told), end="", file=sys.stderr)


def script() -> None:
    """The `asyrp` command; ends as other programs do where its reader stops, as `head` does."""
    sys.excepthook = _tell_error
    streams = (sys.stdout, sys.stderr)  # None where a shell closed it
    try:
        try:
            code: int | str | None = main()
        except SystemExit as end:
            code = end.code
        for stream in filter(None, streams):
            stream.flush()
    except BrokenPipeError:
        code = READER_GONE
        for stream in filter(None, streams):  # what they still hold has nowhere to go
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code)

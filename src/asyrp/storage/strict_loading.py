"""Networks of transformers with the weights of their files, all of them and nothing else."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asyrp.errors import AsyrpError
from asyrp.storage.finite import check_finite
from asyrp.storage.untrusted.revisions import pinned
from asyrp.storage.weight_files import chosen_in

COUNTERS = ("position_ids",)  # buffers of numbers 0, 1, 2, ... that old files still hold


def load_strictly(
    kind: Any, source: str | Path | None, where: str = "", spare: tuple[str, ...] = (), **how: Any
) -> Any:
    """`kind.from_pretrained(source, **how)`, if the file has each tensor of the network.

    Args:
        where: what to call the source in a message, where it has no name of its own.
        spare: beginnings of keys that a file may hold besides, such as a head that is not used.

    Raises:
        AsyrpError: keys that are missing or too many, shapes that differ, or values that are no
            finite numbers. What else goes wrong is the library's own error.
    """
    if source is not None and (Path(source) / "config.json").is_file():
        how["variant"] = chosen_in(Path(source)).variant
    name = None
    if source is not None:
        name, how["revision"] = pinned(source)
    how["ignore_mismatched_sizes"] = True  # which are refused below, by name
    with _no_report():
        model, report = kind.from_pretrained(
            name, output_loading_info=True, trust_remote_code=False, **how
        )
    where = repr(where or str(source))
    check_report(report, where, spare)
    check_finite(dict(model.named_parameters()), where)
    return model


def check_report(report: Mapping[str, Any], where: str, spare: tuple[str, ...] = ()) -> None:
    """Raise AsyrpError for the first key that a library filled with random numbers, or left aside.

    Args:
        report: with missing_keys, unexpected_keys and mismatched_keys, each of names or of tuples
            that begin with one.
    """
    for kind, told in (
        ("missing_keys", "are missing from its weights"),
        ("mismatched_keys", "have another shape in its weights"),
        ("unexpected_keys", "of its weights have no place in it"),
    ):
        keys = sorted(one if isinstance(one, str) else str(one[0]) for one in report.get(kind, ()))
        if kind == "unexpected_keys":
            keys = [key for key in keys if not (key.startswith(spare) or key.endswith(COUNTERS))]
        if keys:
            raise AsyrpError(
                f"{where} is not the network of its config.json: {len(keys)} tensors {told}, as "
                f"{keys[0]!r}; get the folder from its source again, or write the keys as they were"
            )


@contextmanager
def _no_report() -> Iterator[None]:
    """transformers tells of wrong keys in a table; here it is one line."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)

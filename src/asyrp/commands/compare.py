"""asyrp compare: every method on every task of a domain, in stages that a stopped run continues."""

from typing import Any

from asyrp.commands.common import say, work
from asyrp.errors import AsyrpError
from asyrp.experiments.compare import compare_stages
from asyrp.experiments.compare_report import cells_by_name, read_compared, write_compared
from asyrp.experiments.plan import Plan, domain_of, settled, with_finders
from asyrp.options.domains import Compare, Reproduce, Study
from asyrp.storage.files import atomic_folder
from asyrp.storage.results import check_results

Names = tuple[str, ...]
FILES = ("table.md", "table.csv", "table.json", "compare.png", "leakage.png")


def run(options: Compare) -> dict[str, Any]:
    """Write table.md, table.csv, table.json, compare.png, leakage.png and a sheet a task."""
    check_results(options.out, None, FILES)
    plan = plan_of(options, options.tasks, options.methods)
    if options.finders and options.methods:
        raise AsyrpError("--finders names the methods itself; got --methods too; give one of them")
    plan = settled(with_finders(plan) if options.finders else plan)
    kept = options.out / "stages"
    work(compare_stages(plan), kept, options.on.workers, domain_of(plan).model)
    with atomic_folder(options.out) as out:
        found = read_compared(plan, kept)
        write_compared(plan, found, kept, out)
    say(f"wrote {options.out / 'table.md'}")
    return {"out": options.out, "cells": cells_by_name(found)}


def plan_of(options: Compare | Reproduce | Study, tasks: Names = (), methods: Names = ()) -> Plan:
    """The plan of some options."""
    on, counts = options.on, options.counts
    if on.workers < 1:
        raise AsyrpError(f"--workers must be 1 or more; got {on.workers}")
    return Plan(
        domain=on.domain,
        tasks=tasks,
        methods=methods,
        test_images=counts.test_faces,
        pool=counts.pool,
        train_images=counts.train_faces,
        validation_images=counts.validation_faces,
        steps=counts.steps,
        rates=counts.rates,
        settings=options.training,
        device=on.device,
        dtype=on.dtype,
    )

"""asyrp reproduce: compare and all studies on a domain, and the page of results."""

from dataclasses import replace
from typing import Any

from asyrp.commands.common import say, work
from asyrp.commands.compare import plan_of
from asyrp.experiments.plan import domain_of, settled, with_finders
from asyrp.experiments.reproduce import results, stages_of
from asyrp.experiments.studies.catalogue import STUDIES, why_no_study
from asyrp.options.domains import Reproduce
from asyrp.storage.files import atomic_folder
from asyrp.storage.json_files import write_text
from asyrp.storage.results import check_results, new_folder


def run(options: Reproduce) -> dict[str, Any]:
    """Work what is missing, then write results.md and its figures."""
    plan = settled(plan_of(options, options.tasks, options.methods))
    runnable = [name for name in STUDIES if not why_no_study(name, domain_of(plan))]
    names = options.studies or tuple(runnable)
    finders = settled(with_finders(replace(plan, methods=()))) if options.finders else None
    stages = stages_of(plan, names, options.faces, finders)
    check_results(options.docs, None, ["results.md"])
    kept = options.keep
    work(stages, kept, options.on.workers, domain_of(plan).model)
    with atomic_folder(options.docs) as docs:
        new_folder(docs / "results")
        page = results(plan, names, stages, kept, docs, options.on.workers, finders)
        write_text(docs / "results.md", page)
    say(f"wrote {options.docs / 'results.md'}")
    return {"docs": options.docs, "stages": len(stages)}

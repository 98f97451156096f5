"""The page: everything about a job put into one template."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from service.plots.evaluations import read_neighbours
from service.plots.filmstrip import filmstrip_png
from service.plots.history import read_history
from service.report import summary, tables
from service.report.augmented import augmented_png
from service.report.changes import describe_changes
from service.report.pictures import data_address, inline_plots
from worker.store import Store
from worker.store.job import Job


def render_report(job: Job, store: Store) -> str:
    """The report of a job as HTML. Text that users gave is escaped by the template.

    Raises:
        JobCorrupt: when the job cannot be read.
        Unavailable: when too many pictures are being drawn.
    """
    return _template().render(**_content(job, store))


def _content(job: Job, store: Store) -> dict[str, Any]:
    record, config, progress = job.record(), job.config(), job.progress()
    history, checkpoints = read_history(job), job.checkpoints()
    health = progress.get("health") or {}
    sheet = read_neighbours(job)
    return {
        "job": job.id,
        "record": record,
        "title": record.model or job.id,
        "state": summary.describe_state(record, config, int(progress.get("step", 0))),
        "verdict": summary.describe_verdict(health),
        "best": history.best,
        "training": summary.describe_training(job, record, config, progress),
        "data": summary.describe_data(store, config),
        "environment": summary.describe_environment(checkpoints[-1] if checkpoints else None),
        "diagnoses": tables.diagnosed(health),
        "warnings": history.spans,
        "plots": list(inline_plots(store.home, history)),
        "filmstrip": data_address(filmstrip_png(job.previews(), config.space)),
        "augmented": data_address(augmented_png(store, config, progress.get("metrics") or {})),
        "neighbours": data_address(sheet.picture) if sheet else None,
        "neighbours_step": sheet.evaluation.step if sheet else None,
        "evaluations": tables.evaluation_tables(history.evaluations),
        "checkpoints": tables.checkpoint_rows(checkpoints, history.best),
        "events": tables.told(job.events.after(0)),
        "most_events": tables.MOST_EVENTS,
        "changes": describe_changes(record, config, checkpoints, job.events.after(0)),
        "command": summary.command(summary.reproduction(record, config, job.start())),
    }


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("service.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")

"""From a request to a plan: everything that can be known before training is checked here."""

import json
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from ganmodels.estimate import Estimate
from ganmodels.games import SemiSupervised
from ganmodels.merging import settings
from ganmodels.recipes import RECIPES, choose
from ganmodels.shapes import shapes_only
from ganmodels.starting import first_anew, fit, layer_count
from ganmodels.validity import check
from service.feasibility import too_slow, without_weights
from service.problems import Problem, body_problem
from service.refusals import settings_problem
from service.schemas import Plan, TrainRequest
from worker.errors import NotFound
from worker.memory import cost_here, fitting_here, processes_here
from worker.settings import Settings
from worker.store import Store
from worker.store.checkpoints import Checkpoint
from worker.store.references import resolve


class Planned(NamedTuple):
    """A plan, and the checkpoint that the training starts from, if any."""

    plan: Plan
    start: Checkpoint | None


def make_plan(body: TrainRequest, store: Store, configuration: Settings) -> Planned:
    """What a request means, checked against everything that can be known before training.

    Raises:
        Problem: when it cannot be trained.
        InvalidConfig: when it would not train well.
    """
    asked = _find(body, store)
    recipe = _recipe(body, asked)
    config = _config(body, recipe, asked)
    warnings = tuple(
        {"code": w.code, "pointer": w.pointer, "detail": w.detail} for w in check(config)
    )
    _check_data(config, asked, configuration)
    if asked.start:
        _check_start(config, asked.start)
    cost = cost_here(config, configuration)
    _check_cost(config, cost, asked, configuration)
    plan = Plan(
        recipe=recipe,
        recipe_chosen=body.recipe is None,
        config=config,
        warnings=warnings,
        estimate=cost._asdict(),
    )
    return Planned(plan, asked.start)


class _Asked(NamedTuple):
    """What a request names, found in the store."""

    dataset: PackedDataset
    source: PackedDataset | None
    start: Checkpoint | None

    @property
    def resident_bytes(self) -> int:
        """Size of the datasets, which a training holds in memory."""
        return self.dataset.items.nbytes + (self.source.items.nbytes if self.source else 0)

    @property
    def fewest(self) -> int:
        """How many items there are to train on, in the smaller of the datasets."""
        datasets = [self.dataset] if self.source is None else [self.dataset, self.source]
        return min(len(one.training_indices) for one in datasets)


def _find(body: TrainRequest, store: Store) -> _Asked:
    dataset = find_dataset(store, body.dataset)
    source = None if body.source is None else find_dataset(store, body.source, "/source")
    return _Asked(dataset, source, _start(store, body))


def _recipe(body: TrainRequest, asked: _Asked) -> str:
    recipe = body.recipe
    if recipe is None:
        recipe = choose(asked.dataset.manifest.space, asked.source is not None)
    if recipe not in RECIPES:
        known = ", ".join(RECIPES)
        raise body_problem("recipe-not-found", "/recipe", f"recipe must be one of {known}")
    return recipe


def _config(body: TrainRequest, recipe: str, asked: _Asked) -> TrainConfig:
    """The recipe with the request's changes, as the settings of a training on these data."""
    manifest, start = asked.dataset.manifest, asked.start
    resolved = {
        **settings(recipe, body.changes(), asked.fewest),
        "dataset": manifest.id,
        "space": manifest.space.model_dump(mode="json"),
        "source": _source(asked.source),
        "start": start and _start_settings(start, body.freeze_discriminator_layers),
    }
    try:
        return TrainConfig.model_validate_json(json.dumps(resolved))
    except ValidationError as error:
        raise settings_problem(error) from None


def _check_data(config: TrainConfig, asked: _Asked, configuration: Settings) -> None:
    """There are enough items for what is asked for."""
    _check_protocol(config, asked.dataset, configuration)
    _check_items(config, asked.fewest)
    _check_clusters(config, asked.dataset)
    _check_labelled(config, asked.dataset)


def _start(store: Store, body: TrainRequest) -> Checkpoint | None:
    if body.start_from is None:
        if body.freeze_discriminator_layers:
            detail = "layers that start at random cannot be kept as they are; set start_from"
            raise body_problem("validation", "/freeze_discriminator_layers", detail)
        return None
    try:
        return resolve(store, body.start_from).checkpoint
    except NotFound as error:
        raise body_problem("start-not-found", "/start_from", error.detail) from None


def _start_settings(start: Checkpoint, layers: int) -> dict[str, Any]:
    """The start as the configuration has it."""
    return {"checkpoint": start.digest, "freeze_discriminator_layers": layers}


def _check_start(config: TrainConfig, start: Checkpoint) -> None:
    """Weights of another game, or of networks of another shape, are of no use."""
    theirs = start.config()
    if theirs.game.kind != config.game.kind:
        detail = f"its game is {theirs.game.kind}, this one is {config.game.kind}"
        raise body_problem("start-does-not-fit", "/start_from", detail)
    found = fit(config, {name: start.tensors(name) for name in theirs.game.players})
    if len(found.taken) <= len(found.new):
        raise body_problem(
            "start-does-not-fit",
            "/start_from",
            f"only {len(found.taken)} of {len(found.taken) + len(found.new)} tensors have the same "
            "name and shape; use the recipe and the widths that it was trained with",
        )
    with shapes_only():
        layers = layer_count(config.game.networks(config)["discriminator"])
    if config.start and config.start.freeze_discriminator_layers >= layers:
        detail = f"the discriminator has {layers} layers, and the last ones must learn"
        raise body_problem("validation", "/freeze_discriminator_layers", detail, limit=layers - 1)
    if name := first_anew(config, found):
        detail = f"{name} has another shape there, and must learn; freeze fewer layers"
        raise body_problem("start-does-not-fit", "/freeze_discriminator_layers", detail)


def find_dataset(store: Store, reference: str, pointer: str = "/dataset") -> PackedDataset:
    """The dataset of a name or id; ``pointer`` is where in the request it stands.

    Raises:
        Problem: when there is none.
    """
    try:
        return store.datasets.get(reference)
    except NotFound as error:
        raise body_problem("dataset-not-found", pointer, error.detail) from None


def _source(source: PackedDataset | None) -> dict[str, Any] | None:
    """The source as the configuration has it."""
    if source is None:
        return None
    manifest = source.manifest
    return {"dataset": manifest.id, "space": manifest.space.model_dump(mode="json")}


def _check_protocol(config: TrainConfig, dataset: PackedDataset, configuration: Settings) -> None:
    """Evaluations come hours later; what they lack is said now."""
    referee, most = config.referee, configuration.max_evaluation_samples
    if not referee.evaluate_every:
        return
    if detail := without_weights(referee.protocol, configuration):
        raise body_problem("evaluation-impossible", "/referee/protocol/features", detail)
    if referee.protocol.samples > most:
        detail = f"an evaluation may draw {most} samples here; ask for fewer"
        pointer = "/referee/protocol/samples"
        raise body_problem("evaluation-too-large", pointer, detail, limit=most)
    if detail := too_slow(referee.protocol, dataset, configuration):
        raise body_problem("evaluation-too-large", "/referee/protocol/samples", detail)


def _check_items(config: TrainConfig, items: int) -> None:
    batch_size = config.optimisation.batch_size
    if batch_size > items:
        raise body_problem(
            "validation",
            "/optimisation/batch_size",
            f"the dataset has {items} items to train on; batch_size may be at most that",
            limit=items,
        )


def _check_clusters(config: TrainConfig, dataset: PackedDataset) -> None:
    items = len(dataset.training_indices)
    if not config.game.labels.given and config.game.labels.classes(config.space) > items:
        raise body_problem(
            "validation",
            "/game/labels/count",
            f"the dataset has {items} items to train on; there may be at most that many clusters",
            limit=items,
        )


def _check_labelled(config: TrainConfig, dataset: PackedDataset) -> None:
    """A few labels of each class are looked at, so each class must have as many."""
    if not isinstance(config.game, SemiSupervised) or dataset.labels is None:
        return
    classes = config.space.classes
    counts = np.bincount(dataset.labels[dataset.training_indices], minlength=len(classes))
    rarest = int(counts.argmin())
    fewest = int(counts[rarest])
    if config.game.labelled_per_class > fewest:
        raise body_problem(
            "validation",
            "/game/labelled_per_class",
            f"class {classes[rarest]} has {fewest} items to train on; labelled_per_class may be at "
            "most that",
            limit=fewest,
        )


def _check_cost(
    config: TrainConfig, cost: Estimate, asked: _Asked, configuration: Settings
) -> None:
    # Each process holds the datasets.
    resident_bytes = asked.resident_bytes * processes_here(config, configuration)
    limit, needed = configuration.max_job_memory_bytes, cost.memory_bytes + resident_bytes
    if needed > limit:
        advice, fit = "the dataset alone takes as much: import fewer or smaller items", None
        if resident_bytes < limit:
            fit = fitting_here(config, limit - resident_bytes, configuration)
            advice = fit.advice if fit else "lower the networks' widths"
        raise Problem(
            "config-too-large",
            f"the training would take about {needed} bytes of memory and may take {limit}; "
            f"{advice}",
            limit=limit,
            estimate=needed,
            batch_size=fit and fit.batch_size,
            accumulate=fit and fit.accumulate,
        )
    if cost.step_flops > configuration.max_step_flops:
        raise Problem(
            "config-too-large",
            f"one step would take {cost.step_flops} floating-point operations and may take "
            f"{configuration.max_step_flops}; lower batch_size or the networks' widths, or let the "
            "service take larger ones: RINGSIDE_MAX_STEP_FLOPS",
            limit=configuration.max_step_flops,
            estimate=cost.step_flops,
        )

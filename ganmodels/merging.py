"""How a request changes a recipe: first to fit the dataset, then as it asks."""

from typing import Any

from ganmodels.games.gan import Gan
from ganmodels.labels import ClusterLabels
from ganmodels.recipes import RECIPES, Recipe

ITEMS_PER_CLUSTER = 20

Json = dict[str, Any]


def settings(recipe: str, changes: Json, items: int) -> Json:
    """A recipe with a request's changes: all of a ``TrainConfig`` but the dataset, as JSON.

    ``recipe`` is a key of ``RECIPES``; what it sets too high for ``items`` training items is
    lowered first. ``changes`` is a JSON merge patch (RFC 7396) with two additions: an object
    whose ``kind`` differs from the recipe's replaces it whole, and the shortcuts ``steps``,
    ``batch_size``, ``learning_rate`` and ``gpus`` stand for what everyone sets.
    """
    base = fit_to_items(RECIPES[recipe], items)
    json = base.model_dump(mode="json", exclude={"summary", "papers"})
    merged: Json = merge_patch(json, expand_shortcuts(changes))
    return merged


def fit_to_items(recipe: Recipe, items: int) -> Recipe:
    """The recipe for a small dataset: batches that it can fill, clusters of 20 items or more."""
    game, optimisation = recipe.game, recipe.optimisation
    whole = optimisation.accumulate * (game.pack if isinstance(game, Gan) else 1)
    batch_size = max(2, whole, min(optimisation.batch_size, items) // whole * whole)
    if isinstance(game, Gan) and isinstance(game.labels, ClusterLabels):
        count = max(2, min(game.labels.count, items // ITEMS_PER_CLUSTER))
        game = game.model_copy(update={"labels": ClusterLabels(count=count)})
    optimisation = optimisation.model_copy(update={"batch_size": batch_size})
    return recipe.model_copy(update={"game": game, "optimisation": optimisation})


def expand_shortcuts(changes: Json) -> Json:
    """Changes with the shortcuts written out; a field that is named in full wins."""
    rest = dict(changes)
    shortcuts: Json = {}
    if "steps" in rest:
        shortcuts["schedule"] = {"steps": rest.pop("steps")}
    if "batch_size" in rest:
        shortcuts["optimisation"] = {"batch_size": rest.pop("batch_size")}
    if "learning_rate" in rest:
        rate = {"learning_rate": rest.pop("learning_rate")}
        shortcuts.setdefault("optimisation", {}).update(generator=rate, discriminator=dict(rate))
    if "gpus" in rest:
        shortcuts["engine"] = {"gpus": rest.pop("gpus")}
    expanded: Json = merge_patch(shortcuts, rest, keep_nulls=True)
    return expanded


def merge_patch(base: Any, patch: Any, keep_nulls: bool = False) -> Any:
    """RFC 7396, but an object of another ``kind`` is replaced, not merged.

    With ``keep_nulls`` the base is itself a patch, and the result does what one does after the
    other.
    """
    if not isinstance(patch, dict):
        return patch
    other_kind = isinstance(base, dict) and patch.get("kind", base.get("kind")) != base.get("kind")
    merged = dict(base) if isinstance(base, dict) and not other_kind else {}
    for key, value in patch.items():
        if value is None and not keep_nulls:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value, keep_nulls)
    return merged

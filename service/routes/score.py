"""``POST /score``: what the discriminator thinks of given items."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from ganmodels.calibration import QUANTILES
from ganmodels.config import TrainConfig
from ganmodels.latents import Latent
from ganmodels.scoring import ANY_LABEL, CALIBRATION_ITEMS, Scores
from ganmodels.spaces import ImageSpace, Space
from service.answering import server_timing
from service.deps import ChosenModel, EngineDep, ModelDep
from service.drawing import label_number, require_labels
from service.engine.engine import Done, Engine
from service.engine.models import LoadedModel
from service.engine.operations import Score
from service.engine.orders import Rows
from service.images import Received
from service.problems import parameter_problem
from service.receiving import BODIES, receive_items
from service.refusals import data_problem

router = APIRouter(tags=["scores"])

_COMPANY = (
    "this discriminator judges items together, so each is judged beside the same real items of "
    "its training data, whoever else is in the request"
)
_TOO_FAR = "the item lies so far from the data that its logit is no number; send nearer ones"


@router.post("/score", openapi_extra=BODIES)
async def score(
    request: Request,
    response: Response,
    engine: EngineDep,
    model: ModelDep,
    label: Annotated[
        str | None, Query(max_length=100, description="the class that the items claim to be")
    ] = None,
) -> dict[str, Any]:
    """Logit, calibrated probability of being real, and percentiles, for each item.

    Half of the items that the probability speaks of are real ones that were held out from training,
    and half are this model's samples.

    A model that names classes says how probable each label is; ``label`` is the most probable.

    One bad item among several does not spoil the others: its entry says what is wrong with it.
    A score says how well an item agrees with this training; it is no detector of fakes made
    elsewhere. Items are fitted to the model as a dataset's are at import.
    """
    resolved, config = model
    number = asked_label(label, config)
    read = await receive_items(request)

    # Decoding takes as long as scoring and more, so it waits for a model thread as well.
    checkpoint = resolved.checkpoint
    decoded = await engine.run(request, checkpoint, lambda _: read(config.space), read.is_large)
    received = decoded.answer
    judged = await _judge(request, engine, model, received, number)
    if len(received) == 1 and received[0].error is not None:
        raise received[0].error
    stages = [decoded.stages, *([judged.stages] if judged else [])]
    response.headers["Server-Timing"] = server_timing(stages)
    return _answer(model, received, judged.answer if judged else None)


async def _judge(
    request: Request,
    engine: Engine,
    model: ChosenModel,
    received: Sequence[Received],
    label: int,
) -> Done[Scores] | None:
    """Scores of the items that could be read, if there are any."""
    items = [one.item for one in received if one.item is not None]
    if not items:
        return None
    stacked, labels = np.stack(items), np.full(len(items), label)

    def rows(loaded: LoadedModel, start: int, stop: int) -> Rows:
        return stacked[start:stop], labels[start:stop]

    def finish(loaded: LoadedModel, scores: Scores) -> Scores:
        return scores

    checkpoint = model.resolved.checkpoint
    return await engine.order(request, checkpoint, Score(), len(items), rows, finish)


def _answer(model: ChosenModel, received: list[Received], scores: Scores | None) -> dict[str, Any]:
    config, data = model.config, _entries(received, scores, model.config)
    return {
        "object": "scores",
        "model": model.resolved.reference,
        "checkpoint": model.resolved.checkpoint.digest,
        "objective": config.game.objective_name,
        "count": len(data),
        "errors": sum("error" in entry for entry in data),
        "data": data,
        "calibration": {"quantiles": QUANTILES, "items_at_most": CALIBRATION_ITEMS},
        "company": _company(scores),
        "preprocessing": _preprocessing(config.space),
    }


def _company(scores: Scores | None) -> dict[str, Any] | None:
    """How a discriminator is asked that judges items together; None for others."""
    if scores is None or not scores.mates:
        return None
    return {"items": scores.mates, "rule": _COMPANY}


def asked_label(text: str | None, config: TrainConfig) -> int:
    """The number of the class to judge under; ``ANY_LABEL`` where none was given.

    Raises:
        Problem: when the model judges under none, or knows no such class.
    """
    if text is None:
        return ANY_LABEL
    if config.game.classifies:
        detail = "this model names classes itself; leave label out and read labels in the answer"
        raise parameter_problem("model-names-labels", "label", detail)
    require_labels(config)
    return label_number(text, config.space.classes)


def _entries(
    received: list[Received], scores: Scores | None, config: TrainConfig
) -> list[dict[str, Any]]:
    entries, position = [], 0
    for index, one in enumerate(received):
        entry: dict[str, Any] = {"index": index, "name": one.name}
        if one.error is not None:
            problem = data_problem(one.error)
            entry["error"] = {"code": problem.code, "detail": problem.detail}
        elif scores is not None:
            entry |= _entry(scores, position, config)
            position += 1
        entries.append(entry)
    return entries


def _entry(scores: Scores, position: int, config: TrainConfig) -> dict[str, Any]:
    labels = scores.labels
    if not np.isfinite(scores.logits[position]):
        return {"error": {"code": "score-not-finite", "detail": _TOO_FAR}}
    return {
        "logit": float(scores.logits[position]),
        "probability": float(scores.probabilities[position]),
        "percentile_real": float(scores.percentile_real[position]),
        "percentile_fake": float(scores.percentile_fake[position]),
        "label": None if labels is None else config.space.classes[labels[position]],
        "labels": _named(scores, position, config.space),
        "codes": _codes(scores, position, config.game.latent),
    }


def _named(scores: Scores, position: int, space: Space) -> dict[str, float] | None:
    """The probability of each class by its name, where the discriminator names classes."""
    if scores.classes is None:
        return None
    return dict(zip(space.classes, scores.classes[position].tolist(), strict=True))


def _codes(scores: Scores, position: int, latent: Latent | None) -> dict[str, Any] | None:
    """What the codes of an item seem to be, by name: choices with probabilities, or a mean."""
    if scores.codes is None or latent is None:
        return None
    found, start = {}, 0
    values = scores.codes[position].tolist()
    for name, choices in zip(latent.code_names, latent.code_widths, strict=True):
        shares = values[start : start + choices]
        found[name] = shares[0] if choices == 1 else _choice(shares)
        start += choices
    return found


def _choice(shares: list[float]) -> dict[str, Any]:
    return {"choice": max(range(len(shares)), key=shares.__getitem__), "probabilities": shares}


def _preprocessing(space: Space) -> dict[str, Any]:
    if isinstance(space, ImageSpace):
        return {
            "height": space.height,
            "width": space.width,
            "channels": space.channels,
            "crop": "centre",
            "resize": "lanczos",
        }
    return {"divided_by": space.scale}

"""``/latents``: what generators are given, by seed and index, and mixed."""

import json
from typing import Annotated, Any, NamedTuple

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from ganmodels.latents import MAX_SEED
from ganmodels.mixing import Mode
from service.answering import server_timing
from service.codes import Codes, parse_codes
from service.deps import ChosenModel, EngineDep, ModelDep, StoreDep, choose_model
from service.drawing import MAX_POINTS, Counted, check_count, label_count, require_latents
from service.engine.encoding.arrays import encode_array
from service.engine.engine import Engine
from service.engine.models import LoadedModel
from service.mixes import MAX_TERMS, check_weights, query_mix
from service.negotiation import choose_format
from service.origins import Mix, Origin, Seeded, drawn
from service.places import Term
from service.problems import body_problem, parameter_problem
from service.routes.sample import CodesText, Format, MixMode, MixText, Offset, Truncation
from service.schemas import Body

router = APIRouter(tags=["samples"])

LatentCount = Annotated[int, Query(ge=1, description="as many as images or points: 64 or 10,000")]

_OF_TERMS = Counted("/n", "ask again with a larger offset in each term")
_FORMATS = {"json": "application/json", "npy": "application/x-npy"}
_ANSWER: dict[str, Any] = {"content": {media_type: {} for media_type in _FORMATS.values()}}


class Wanted(NamedTuple):
    """Latents that were asked for; ``told`` is what the answer says of them."""

    model: ChosenModel
    format: str
    origin: Origin
    item_count: int
    told: dict[str, Any]
    offset: int = 0
    truncation: float = 1.0
    codes: Codes | None = None

    def latents(self) -> NDArray[np.float32]:
        """Latents [count, width]."""
        items = range(self.offset, self.offset + self.item_count)
        latent = require_latents(self.model.config)
        return drawn(self.origin, latent, items, self.truncation, self.codes)

    def labels(self, loaded: LoadedModel) -> list[int] | None:
        """Labels [count], where the generator is told any."""
        if not label_count(self.model.config):
            return None
        found: list[int] = self.origin.labels(loaded.sampler, self.offset, self.item_count).tolist()
        return found

    def encoded(self, loaded: LoadedModel) -> bytes:
        """The answer."""
        found = self.latents()
        if self.format == "npy":
            return encode_array(found)
        body = {"object": "latents", "model": self.model.resolved.reference, **self.told}
        body |= {"offset": self.offset, "latents": found.tolist(), "labels": self.labels(loaded)}
        return json.dumps(body).encode()


@router.get("/latents", response_class=Response, responses={200: _ANSWER})
async def latents(
    request: Request,
    engine: EngineDep,
    model: ModelDep,
    seed: Annotated[int | None, Query(ge=0, le=MAX_SEED, description="or give mix")] = None,
    n: LatentCount = 1,
    offset: Offset = 0,
    truncation: Truncation = 1.0,
    codes: CodesText = None,
    mix: MixText = None,
    mix_mode: MixMode = None,
    format: Format = None,
) -> Response:
    """The latents [n, width] behind the same ``GET /sample``; JSON has the labels [n] too."""
    require_latents(model.config)
    mixture = query_mix(mix, mix_mode, seed)
    if mixture is None and seed is None:
        raise parameter_problem("validation", "seed", "give a seed, or a mix of several")
    wanted = Wanted(
        model,
        choose_format(format, request.headers.get("accept"), _FORMATS),
        mixture or Seeded(seed or 0),
        check_count(n, model.config),
        mixture.parameters() if mixture else {"seed": seed},
        offset,
        truncation,
        parse_codes(codes, model.config),
    )
    return await _answer(request, engine, wanted)


class CombineRequest(Body):
    """Latents to mix. Item i mixes the latents with the index ``offset`` + i of the terms' seeds.

    Weights count by their share of the sum; ``lerp`` takes some below 0. The labels in the answer
    are those of the first term, or those of seed 0 where that is a given latent.
    """

    model: str = Field(max_length=200)
    terms: list[Term] = Field(min_length=1, max_length=MAX_TERMS)
    mode: Mode = "slerp"
    n: int = Field(default=1, ge=1, le=MAX_POINTS)
    truncation: float = Field(default=1.0, ge=0, le=1.5)
    format: str | None = Field(default=None, max_length=20)


@router.post("/latents", response_class=Response, responses={200: _ANSWER})
async def combine(
    body: CombineRequest, request: Request, store: StoreDep, engine: EngineDep
) -> Response:
    """Mixed latents [n, width] and labels [n]; ``POST /sample`` draws from them."""
    model = await run_in_threadpool(choose_model, store, body.model)
    require_latents(model.config, "/model")
    wanted = Wanted(
        model,
        choose_format(body.format, request.headers.get("accept"), _FORMATS, "/format"),
        _mix(body, model),
        check_count(body.n, model.config, counted=_OF_TERMS),
        {"mode": body.mode},
        truncation=body.truncation,
    )
    return await _answer(request, engine, wanted)


async def _answer(request: Request, engine: Engine, wanted: Wanted) -> Response:
    drawn = await engine.run(request, wanted.model.resolved.checkpoint, wanted.encoded)
    headers = {"Vary": "Accept", "Server-Timing": server_timing([drawn.stages])}
    return Response(drawn.answer, media_type=_FORMATS[wanted.format], headers=headers)


def _mix(body: CombineRequest, model: ChosenModel) -> Mix:
    """The mix that a body asks for.

    Raises:
        Problem: when there is none of these weights, or a latent does not fit the model.
    """
    weights = tuple(term.weight for term in body.terms)
    try:
        check_weights(weights, body.mode)
    except ValueError as error:
        raise body_problem("validation", "/terms", f"{error}") from None
    origins = (
        term.origin(model.config, f"/terms/{place}") for place, term in enumerate(body.terms)
    )
    return Mix(tuple(origins), weights, body.mode)

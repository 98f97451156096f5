"""``POST /interpolate``: frames that lead through keyframes."""

from typing import Any

from fastapi import APIRouter, Request, Response
from numpy import generic
from numpy.typing import NDArray
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from ganmodels.config import TrainConfig
from ganmodels.mixing import Easing, Mode
from ganmodels.spaces import ImageSpace
from service.answering import draw, model_headers
from service.deps import ChosenModel, EngineDep, StoreDep, choose_model
from service.drawing import MAX_FRAMES, Drawing, most_frames, parse_labels, require_latents
from service.engine.encoding.frames import FRAME_FORMATS, Pace
from service.engine.encoding.layout import resized
from service.engine.encoding.samples import MAX_EDGE_PIXELS, Look, Resampling
from service.engine.models import LoadedModel
from service.negotiation import choose_format
from service.origins import Path
from service.places import Keyframe
from service.problems import body_problem
from service.schemas import Body

router = APIRouter(tags=["samples"])

_ANSWER: dict[str, Any] = {
    "content": {encoding.media_type: {} for encoding in FRAME_FORMATS.values()}
}


class InterpolationRequest(Body):
    """Keyframes, and how to go from each to the next: in ``steps`` frames, the last of which is
    the next keyframe.

    With ``loop`` the way leads back to the first keyframe, and animations begin again. All frames
    have the label of the first keyframe, unless another is asked for. ``truncation`` applies to
    every frame.
    """

    model: str = Field(max_length=200)
    keyframes: list[Keyframe] = Field(min_length=2, max_length=64)
    steps: int = Field(default=24, ge=1, le=MAX_FRAMES)
    loop: bool = False
    mode: Mode = "slerp"
    easing: Easing = "linear"
    truncation: float = Field(default=1.0, ge=0, le=1.5)
    label: str | None = Field(default=None, max_length=100, description="one class")
    size: int | None = Field(
        default=None, ge=1, le=MAX_EDGE_PIXELS, description="longer edge of a frame, in pixels"
    )
    resample: Resampling = "lanczos"
    duration_ms: int = Field(default=40, ge=10, le=10_000, description="of a frame")
    format: str | None = Field(default=None, max_length=20, description="overrides Accept")

    def frame_count(self) -> int:
        """With both ends; the way back ends before the first keyframe."""
        stretches = len(self.keyframes) - (not self.loop)
        return stretches * self.steps + (not self.loop)


@router.post("/interpolate", response_class=Response, responses={200: _ANSWER})
async def interpolate(
    body: InterpolationRequest, request: Request, store: StoreDep, engine: EngineDep
) -> Response:
    """Frames through latents of seeds, given latents and mixes: a strip, an animation, an array."""
    model = await run_in_threadpool(choose_model, store, body.model)
    require_latents(model.config, "/model")
    drawing = _drawing(body, model, _format(body, request, model.config))
    encoding = FRAME_FORMATS[drawing.format]
    pace = Pace(body.duration_ms, body.loop)

    def finish(loaded: LoadedModel, items: NDArray[generic]) -> bytes:
        samples = drawing.samples(loaded, items, encoding.keeps_latents)
        if isinstance(drawing.config.space, ImageSpace):
            samples = samples._replace(items=resized(samples.items, drawing.look))
        return encoding.encode(samples, pace)

    made = await draw(request, engine, drawing, finish)
    headers = model_headers(model.resolved, [made.stages])
    return Response(made.answer, media_type=encoding.media_type, headers=headers)


def _format(body: InterpolationRequest, request: Request, config: TrainConfig) -> str:
    """A key of ``FRAME_FORMATS`` that can hold these items.

    Raises:
        Problem: when the client accepts none of them.
    """
    images = isinstance(config.space, ImageSpace)
    offered = {
        name: encoding.media_type
        for name, encoding in FRAME_FORMATS.items()
        if images or not encoding.images_only
    }
    return choose_format(body.format, request.headers.get("accept"), offered, "/format")


def _check_pace(body: InterpolationRequest, count: int, chosen: str) -> None:
    """Equal frames are stored as one, which may have to last as long as all of them.

    Raises:
        Problem: where the format holds no time as long as that.
    """
    most = FRAME_FORMATS[chosen].most_ms
    if most is not None and count * body.duration_ms > most:
        detail = (
            f"{count} frames would last {count * body.duration_ms} ms, and {chosen} holds {most}"
        )
        raise body_problem("validation", "/duration_ms", detail, limit=most // count)


def _drawing(body: InterpolationRequest, model: ChosenModel, chosen: str) -> Drawing:
    """What to draw.

    Raises:
        Problem: when it is too much, or does not fit the model.
    """
    config, count = model.config, body.frame_count()
    if count > (most := most_frames(config, body.size)):
        in_size = "" if body.size is None else " in this size"
        detail = (
            f"{count} frames were asked for, and {most} are made at once{in_size}; take fewer steps"
        )
        raise body_problem("sample-too-large", "/steps", detail, limit=most)
    _check_pace(body, count, chosen)
    if body.size is not None and not isinstance(config.space, ImageSpace):
        raise body_problem("validation", "/size", "points have no size; leave it out")
    labels = parse_labels(body.label, config, "/label")
    if labels and len(labels) > 1:
        raise body_problem("validation", "/label", "all frames have one label; give one class")
    keyframes = tuple(
        one.origin(config, f"/keyframes/{place}") for place, one in enumerate(body.keyframes)
    )
    described = {
        **body.model_dump(include={"steps", "loop", "mode", "easing"}),
        "keyframes": [one.described() for one in body.keyframes],
    }
    path = Path(keyframes, body.steps, body.mode, body.easing, described)
    return Drawing(
        model.resolved,
        config,
        count,
        labels,
        look=Look(count, size=body.size, resample=body.resample),
        format=chosen,
        truncation=body.truncation,
        origin=path,
    )

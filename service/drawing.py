"""A sample request, checked and complete: equal drawings give equal bytes."""

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganmodels.config import TrainConfig
from ganmodels.latents import Latent
from ganmodels.spaces import ImageSpace
from service.codes import Codes
from service.engine.encoding.formats import ENCODER_VERSION, FORMATS, Encoding
from service.engine.encoding.layout import edges, is_large, picture_size
from service.engine.encoding.metadata import as_text
from service.engine.encoding.samples import Look, Samples
from service.engine.models import LoadedModel
from service.negotiation import choose_format
from service.origins import Named, drawn
from service.problems import body_problem, field_problem
from worker.store.references import Resolved

MAX_IMAGES, MAX_POINTS, MAX_PIXELS, MAX_INDEX = 64, 10_000, 2**24, 2**53
# Of answers that are sent while they are drawn.
MAX_STREAMED_IMAGES = 100_000
# Of planes and of ways through keyframes.
MAX_FRAMES = 256
_MAX_LATENT = 1e6


class Drawing(NamedTuple):
    """What to draw: items of an origin from ``offset`` on; ``labels`` are cycled."""

    resolved: Resolved
    config: TrainConfig
    item_count: int
    labels: tuple[int, ...] | None
    look: Look
    format: str
    origin: Named
    offset: int = 0
    truncation: float = 1.0
    codes: Codes | None = None
    # What ``digest`` returns, where somebody has kept it.
    kept_digest: bytes | None = None

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the labels that people may ask for."""
        return self.config.space.classes if self.config.game.conditional else ()

    @property
    def takes_long(self) -> bool:
        """Whether others should not wait until it is encoded."""
        return is_large(self.config.space, self.item_count, self.look)

    def parameters(self) -> dict[str, Any]:
        """What made the samples, as it is written into files and answers."""
        return {**self._settings(), "seed": None, "offset": self.offset, **self.origin.parameters()}

    def _settings(self) -> dict[str, Any]:
        names = self.class_names
        return {
            "model": self.resolved.reference,
            "checkpoint": self.resolved.checkpoint.digest,
            "n": self.item_count,
            "labels": self.labels and [names[label] if names else label for label in self.labels],
            "truncation": self.truncation,
            **({"codes": self.codes} if self.codes else {}),
            **self.look.parameters(),
        }

    def etag(self, kind_of_machine: str) -> str:
        """Strong, and known before the model is touched; other machines may round otherwise."""
        place = as_text({"offset": self.offset, **self.origin.parameters()})
        digest = hashlib.sha256(self.kept_digest or self.digest())
        digest.update((place + kind_of_machine).encode())
        return f'"{digest.hexdigest()[:32]}"'

    def digest(self) -> bytes:
        """Of all that decides about the bytes but origin, offset and machine."""
        named = self._settings() | {"look": self.look, "format": self.format}
        # Another version of either may round or draw differently.
        named |= {"encoder": ENCODER_VERSION, "numpy": np.__version__}
        return hashlib.sha256(as_text(named).encode()).digest()

    def rows(self, model: LoadedModel, start: int, stop: int) -> tuple[NDArray[Any], ...]:
        """Latents and labels of items start to stop of this drawing."""
        return self.latents(start, stop), self.label_numbers(model, start, stop)

    def latents(self, start: int, stop: int) -> NDArray[np.float32]:
        """Of items start to stop, truncated and with the codes that were asked for."""
        latent, items = require_latents(self.config), range(self.offset + start, self.offset + stop)
        return drawn(self.origin, latent, items, self.truncation, self.codes)

    def label_numbers(self, model: LoadedModel, start: int, stop: int) -> NDArray[np.int64]:
        """The labels asked for, in turn; else those of the origin."""
        first, count = self.offset + start, stop - start
        if not self.config.game.conditioning.needs_labels:
            return np.zeros(count, dtype=np.int64)
        if self.labels is None:
            return self.origin.labels(model.sampler, first, count)
        places = first + np.arange(count)
        return np.array(self.labels, dtype=np.int64)[places % len(self.labels)]

    def samples(
        self, model: LoadedModel, items: NDArray[np.generic], keeps_latents: bool
    ) -> Samples:
        """All drawn items, with what made them: the latents too where the format keeps them."""
        labels = self.label_names(model)
        latents = self.latents(0, self.item_count) if keeps_latents else None
        return Samples(items, labels, self.config.space, self.parameters(), latents)

    def label_names(self, model: LoadedModel) -> tuple[str | None, ...]:
        """What each item is called; None where the model's labels have no names."""
        names = self.class_names
        if not names:
            return (None,) * self.item_count
        return tuple(names[number] for number in self.label_numbers(model, 0, self.item_count))

    def part(self, start: int, count: int) -> "Drawing":
        """The drawing of some of the items alone."""
        return self._replace(offset=self.offset + start, item_count=count, kept_digest=None)


def require_latents(config: TrainConfig, place: str = "model") -> Latent:
    """The latents of a model that draws; ``place`` is where it was named.

    Raises:
        Problem: when it translates images instead.
    """
    latent = config.game.latent
    if latent is None:
        raise field_problem(
            "model-translates",
            place,
            "this model makes images of images and takes no latents; send them to POST /translate",
        )
    return latent


class Counted(NamedTuple):
    """Where a number of items was asked for, and what to do where it is too large."""

    place: str
    remedy: str


PAGED = Counted("n", "page with offset for more")


def check_count(
    n: int,
    config: TrainConfig,
    size: int | None = None,
    streams: bool | None = None,
    counted: Counted = PAGED,
) -> int:
    """``n`` itself; ``size`` is the longer edge of the images that are sent.

    ``streams``: whether the format can be sent while it is drawn; None where none can.

    Raises:
        Problem: when it is more than is drawn at once, or in one stream.
    """
    limit, more = items_at_once(config, size), counted.remedy
    if isinstance(config.space, ImageSpace) and limit:
        if streams:
            limit = MAX_STREAMED_IMAGES
        elif streams is not None:
            more += f", or ask for npy, zip or multipart, up to {MAX_STREAMED_IMAGES} at once"
    if n > limit:
        of = "this model" if size is None else "this model in this size"
        in_format = "" if streams is None else " in this format"
        detail = f"there may be at most {limit} for {of}{in_format}; {more}"
        raise field_problem("sample-too-large", counted.place, detail, limit=limit)
    return n


def items_at_once(config: TrainConfig, size: int | None = None) -> int:
    """How many items are drawn for one request before any of them is sent."""
    space = config.space
    if isinstance(space, ImageSpace):
        return min(MAX_IMAGES, _images_in_memory(space, size))
    return MAX_POINTS


def most_frames(config: TrainConfig, size: int | None) -> int:
    """How many items a plane or a way through keyframes may have, as ``check_count``."""
    space = config.space
    if isinstance(space, ImageSpace):
        return min(MAX_FRAMES, _images_in_memory(space, size))
    return MAX_FRAMES


def _images_in_memory(space: ImageSpace, size: int | None) -> int:
    drawn, sent = space.width * space.height, math.prod(edges(space.width, space.height, size))
    return MAX_PIXELS // max(drawn, sent)


def parse_labels(
    text: str | None, config: TrainConfig, place: str = "label"
) -> tuple[int, ...] | None:
    """Numbers of the classes that a list with commas names; ``place`` is where it stood.

    ``all`` names each of them, unless a class is called so.

    Raises:
        Problem: when a class is unknown, or the model knows none.
    """
    if text is None:
        return None
    require_labels(config, place)
    classes = config.space.classes
    if text == "all" and text not in classes:
        return tuple(range(len(classes)))
    return tuple(label_number(part.strip(), classes, place) for part in text.split(","))


def require_labels(config: TrainConfig, place: str = "label") -> None:
    """Refuse a label for a model that takes none.

    Raises:
        Problem: saying so.
    """
    if not config.game.conditional:
        raise field_problem(
            "model-unconditional",
            place,
            "this model takes no labels; leave label out or train with the cgan recipe",
        )


def label_number(text: str, classes: Sequence[str], place: str = "label") -> int:
    """The number of a class, given by name or number.

    Raises:
        Problem: when there is no such class.
    """
    if text in classes:
        return classes.index(text)
    # Where numbers are names, a number that is no name would quietly mean another class.
    named_by_numbers = any(name.isdigit() for name in classes)
    if not named_by_numbers and re.fullmatch(r"[0-9]{1,5}", text) and int(text) < len(classes):
        return int(text)
    known = ", ".join(classes[:20])
    raise field_problem("label-unknown", place, f"labels of this model: {known}")


def check_label_numbers(numbers: list[int] | None, config: TrainConfig) -> tuple[int, ...] | None:
    """Labels as ``GET /latents`` gives them, also of clusters, which have no names.

    Raises:
        Problem: when the generator knows no such label.
    """
    if numbers is None:
        return None
    known = label_count(config)
    if not all(0 <= number < known for number in numbers):
        detail = f"labels are numbers below {known}" if known else "this model has no labels"
        raise body_problem("label-unknown", "/labels", detail)
    return tuple(numbers)


def label_count(config: TrainConfig) -> int:
    """How many labels the generator is told apart."""
    game = config.game
    return game.labels.classes(config.space) if game.conditioning.needs_labels else 0


def choose_encoding(
    wanted: str | None,
    accept: str | None,
    config: TrainConfig,
    layout: str | None,
    n: int,
    place: str = "format",
) -> str:
    """A key of ``FORMATS`` that can hold these items in this layout.

    Raises:
        Problem: when the client accepts none of them.
    """
    image = isinstance(config.space, ImageSpace)

    def fits(encoding: Encoding) -> bool:
        if layout == "grid" and not encoding.single:
            return False
        if layout == "separate" and n > 1 and encoding.single:
            return False
        return not (encoding.points_only if image else encoding.images_only)

    offered = {name: encoding.media_type for name, encoding in FORMATS.items() if fits(encoding)}
    return choose_format(wanted, accept, offered, place)


def check_picture(
    chosen: str, config: TrainConfig, n: int, look: Look, place: str = "columns"
) -> None:
    """Refuse a grid of ``n`` images that the format ``chosen`` cannot hold.

    Raises:
        Problem: saying how large it would be.
    """
    space, most = config.space, FORMATS[chosen].most_pixels
    if most is None or not isinstance(space, ImageSpace):
        return
    width, height = picture_size(space, n, look)
    if max(width, height) > most:
        detail = (
            f"the picture would have {width} x {height} pixels, and {chosen} holds at most {most} "
            "a side; ask for other columns, fewer items or png"
        )
        raise field_problem("sample-too-large", place, detail, limit=most)


def check_latents(
    rows: list[list[float]], config: TrainConfig, pointer: str = "/latents"
) -> NDArray[np.float32]:
    """Latents [n, width]; ``pointer`` is where they stood.

    Raises:
        Problem: when they do not fit the model.
    """
    width = require_latents(config).width
    if any(len(row) != width for row in rows):
        detail = f"each latent of this model has {width} values"
        raise body_problem("validation", pointer, detail)
    array = np.array(rows, dtype=np.float64)
    if np.abs(array).max() > _MAX_LATENT:
        detail = f"latents may be at most {_MAX_LATENT:g} in size"
        raise body_problem("validation", pointer, detail)
    return array.astype(np.float32)

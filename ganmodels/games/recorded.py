"""Steps of a match that are recorded once as a CUDA graph and replayed: one launch in place of
hundreds.

What changes from step to step lies outside the recording: batches are copied into memory that it
reads, learning rates are tensors, and a generator of random numbers is set to its stream, from
which a replay draws what kernels would have drawn.
"""

from collections import Counter
from collections.abc import Callable

import torch

from ganmodels.data.batches import Batch, Deck
from ganmodels.games.gan import Gan
from ganmodels.games.match import Match
from ganmodels.games.player import Told
from ganmodels.optimisation import Adam

Work = Callable[[], Told]
Recorder = Callable[[Work, torch.Generator], Work]
_WARM_UPS = 3


def why_not(match: Match) -> str | None:
    """Why steps of a match cannot be recorded, if they cannot."""
    game = match.game
    if match.device.type != "cuda":
        return "graphs are for GPUs"
    if not isinstance(game, Gan):
        return f"the game {game.kind} looks at its step"
    reasons = {
        "several processes play": match.group.size > 1,
        "the strength of the augmentation varies": game.augmentation.varies,
        "old fakes are chosen step by step": bool(game.replay),
        "updates are looked through": bool(game.unrolling),
        "historical averaging counts steps": bool(game.historical_averaging),
        "the burn-in outlasts the training": match.optimisation.burn_in_images
        > match.total_steps * match.images_per_step,
        "a momentum varies": not all(
            isinstance(rule, Adam)
            for rule in (match.optimisation.generator, match.optimisation.discriminator)
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class OnGpu:
    """Records what work launches. Its figures lie in the same memory after every replay.

    All recordings share their memory: none runs beside another, and figures are taken at once.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work, random: torch.Generator) -> Work:
        """The work, as one launch."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(random)
        # Other threads, such as the one that saves, go on using the GPU meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            told = work()

        def replay() -> Told:
            graph.replay()
            return told

        return replay


def record(match: Match) -> None:
    """Let the match's steps be recorded, where that is possible."""
    if why_not(match) is None:
        match.moves = Recorded(match)


class RecordingFailed(RuntimeError):  # noqa: N818 - named for what it says
    """A step could not be recorded; the process in which that was so is to use the GPU no more."""


class Recorded:
    """The moves of a match's step: recorded, or played as they are where that is not possible.

    Not yet run on a GPU: the machines that this was written on had none.

    Raises:
        RecordingFailed: when a step cannot be recorded after all.
    """

    def __init__(self, match: Match, record: Recorder | None = None) -> None:
        self._match, self._record = match, record or OnGpu()
        self._slots: list[Batch] = []
        # By which penalties are due, which is decided while recording.
        self._played: Counter[tuple[bool, ...]] = Counter()
        self._recordings: dict[tuple[bool, ...], Work] = {}

    def __call__(self, deck: Deck, random: torch.Generator) -> Told:
        """One step's moves, as the game makes them."""
        match, game = self._match, self._match.game
        assert isinstance(game, Gan)
        due = tuple(match.step % penalty.every == 0 for penalty in game.penalties)
        if match.settled < 1 or self._played[due] < _WARM_UPS:
            self._played[due] += match.settled == 1
            return game.step(match, deck, random)
        self._fill(game, deck)
        if due not in self._recordings:
            self._recordings[due] = self._recorded(game, random)
        return self._recordings[due]()

    def _fill(self, game: Gan, deck: Deck) -> None:
        """Put the step's batches where the recording reads them."""
        first, count = self._match.step * game.draws_per_step, game.draws_per_step
        batches = [deck.real(first + place) for place in range(count)]
        if not self._slots:
            self._slots = [_copied(batch) for batch in batches]
        for slot, batch in zip(self._slots, batches, strict=True):
            slot.items.copy_(batch.items)
            if slot.labels is not None and batch.labels is not None:
                slot.labels.copy_(batch.labels)

    def _recorded(self, game: Gan, random: torch.Generator) -> Work:
        match = self._match

        def slot(draw: int) -> Batch:
            items, labels = self._slots[draw % game.draws_per_step]
            # Penalties ask for gradients at items: not at the memory that is written again.
            return Batch(items.detach(), labels)

        try:
            return self._record(lambda: game.step(match, Deck(slot), random), random)
        except RuntimeError as error:
            raise RecordingFailed(str(error).splitlines()[0]) from error


def _copied(batch: Batch) -> Batch:
    labels = batch.labels
    return Batch(batch.items.clone(), None if labels is None else labels.clone())

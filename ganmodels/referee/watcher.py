"""The watcher: looks at a match on its panel, as it is in training, and leaves no trace in it."""

from typing import Any

import torch

from ganmodels.data.batches import stream, to_network
from ganmodels.data.packed import PackedDataset
from ganmodels.games.match import Match
from ganmodels.labels import Clusters, labels_of
from ganmodels.referee.panel import Panel, thumbnails, thumbnails_of
from ganmodels.referee.signals import Judgement, Yardstick
from ganmodels.types import Items, Labels, Logits

# As many of each kind are judged: enough for means, at half of the cost.
_JUDGED = 64
_LIMIT = 0.99


class Watcher:
    """Sees a match at one step. Everything about real items is prepared once."""

    def __init__(
        self, panel: Panel, dataset: PackedDataset, clusters: Clusters | None, device: torch.device
    ) -> None:
        space = dataset.manifest.space

        def real(indices: torch.Tensor) -> tuple[Items, Labels | None]:
            labels = labels_of(dataset, indices.numpy(), clusters)
            items = to_network(dataset.items[indices.numpy()], space, device)
            return items, None if labels is None else torch.from_numpy(labels).to(device)

        self._reals, self._labels = real(panel.training)
        self._held_out, self._held_out_labels = real(panel.held_out)
        self._inputs, self._bounded = panel.inputs.to(device), space.bounded
        self._saturated_reals = self._saturated(self._reals)
        self._yardstick = Yardstick(
            thumbnails(self._reals),
            self._labels,
            thumbnails_of(dataset, panel.neighbours.numpy()).to(device),
            thumbnails(self._held_out),
            panel.centres.to(device),
        )

    @property
    def has_variety(self) -> bool:
        """Whether the real items differ at all."""
        return self._yardstick.has_variety

    def look(self, match: Match) -> dict[str, Any]:
        """The signals now, by the names of ``Judgement`` and ``Variety``, and ``saturated``."""
        inputs = match.game.given(self._inputs, match.space, match.device)
        fakes = match.show(inputs, self._labels)
        random = stream(match.seed, "look", match.step, torch.Generator(match.device))

        def judge(items: Items, labels: Labels | None) -> Logits:
            count = min(_JUDGED, len(items))
            if not count:
                return items.new_empty(0)
            # Few are joined by training items: who compares items heeds how many there are.
            some = None
            if labels is not None and self._labels is not None:
                some = torch.cat([labels[:count], self._labels[: _JUDGED - count]])
            joined = torch.cat([items[:count], self._reals[: _JUDGED - count]])
            logits = match.judge(joined, some, random)
            return logits[: len(logits) * count // _JUDGED]

        judged = Judgement.of(
            judge(self._reals, self._labels),
            judge(self._held_out, self._held_out_labels),
            judge(fakes, self._labels),
            match.game.boundary,
        )
        variety = self._yardstick.measure(thumbnails(fakes))
        saturated = self._saturated(fakes) - self._saturated_reals
        return {**judged._asdict(), **variety._asdict(), "saturated": saturated}

    def _saturated(self, items: Items) -> float:
        return float((items.abs() > _LIMIT).float().mean()) if self._bounded else 0.0

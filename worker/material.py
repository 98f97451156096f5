"""What a job is trained on: its dataset and, where the game translates, the source."""

from typing import NamedTuple

from ganmodels.config import TrainConfig
from ganmodels.data.packed import PackedDataset
from worker.store import Store


class Material(NamedTuple):
    """The dataset whose items are imitated, and the one whose items the generator is given."""

    dataset: PackedDataset
    source: PackedDataset | None

    @classmethod
    def of(cls, store: Store, config: TrainConfig) -> "Material":
        """Both, opened.

        Raises:
            NotFound: when one was deleted.
            DataError: when one is damaged.
        """
        source = store.datasets.get(config.source.dataset) if config.source else None
        return cls(store.datasets.get(config.dataset), source)

    @property
    def all(self) -> tuple[PackedDataset, ...]:
        """Whatever there is."""
        return (self.dataset,) if self.source is None else (self.dataset, self.source)

    @property
    def training_bytes(self) -> int:
        """Size of the items that are trained on."""
        return self.dataset.items[:1].nbytes * len(self.dataset.training_indices)


class MaterialGuard:
    """Datasets whose content is what their names say, from the beginning on."""

    def __init__(self, material: Material) -> None:
        """Hash everything.

        Raises:
            DataError: when the content is not that of its name.
        """
        # Taken first: what is changed while it is hashed is hashed again.
        self.material = material
        self._signatures = [dataset.signature() for dataset in material.all]
        for dataset in material.all:
            dataset.verify()

    def check(self) -> None:
        """Hash again if a file was touched: only the hash tells whether the content has changed.

        Raises:
            DataError: when it has.
        """
        for place, dataset in enumerate(self.material.all):
            signature = dataset.signature()
            if signature != self._signatures[place]:
                dataset.verify()
                self._signatures[place] = signature

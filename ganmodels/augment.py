"""The former place of ``ganmodels.augmentation``."""

from ganmodels.augmentation import Ada, Augmentation, DiffAugment, NoAugmentation, Shift

__all__ = ["Ada", "Augmentation", "DiffAugment", "NoAugmentation", "Shift"]

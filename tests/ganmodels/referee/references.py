"""Other people's implementations, to compare with; and what they need to be imported here."""

import importlib
import sys
import warnings
from types import ModuleType

import pytest
import torch

# torchvision from PyPI is built for CUDA; beside a PyTorch for CPU its operators are missing, and
# it fails to import when it describes them. None of them is used here.
_MISSING = ("nms", "qnms")
_LIBRARIES: list[torch.library.Library] = []


def reference(name: str) -> ModuleType:
    """A module of torch-fidelity or torchmetrics, whatever it warns of as it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")
        except RuntimeError:
            _define_missing_operators()
            return importlib.import_module(name)


def _define_missing_operators() -> None:
    packages = ("torchvision", "torch_fidelity", "torchmetrics")
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _MISSING:
        library.define(f"{name}() -> ()")
    _LIBRARIES.append(library)

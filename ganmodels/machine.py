"""What the machine is, as far as numbers depend on it: its processor, and what bfloat16 brings;
and whether it has run out of memory.
"""

import errno
import platform
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, TypeVar

import torch

# What most of the arithmetic of a network is: each has a speed of its own in bfloat16.
Kernel = Literal["convolution", "narrow_convolution", "grouped_convolution", "product"]
Answer = TypeVar("Answer")

_CPU_INFO = Path("/proc/cpuinfo")
# Where a processor has instructions for bfloat16 a convolution is twice as fast, elsewhere at
# best as fast: no noise takes one for the other.
_SPEEDUP_THAT_PAYS = 1.3
_ROUNDS = 10
# The last one is oneDNN's, which says no more when it gets no memory for its code. Of a "primitive
# descriptor" it says the same where a shape or a format is none that it knows.
_OUT_OF_MEMORY = re.compile(
    "DefaultCPUAllocator|bad_alloc|CUDA error: out of memory|STATUS_ALLOC_FAILED"
    "|could not create a primitive(?! descriptor)"
)


def processor() -> str:
    """The model of the CPU and what PyTorch makes of it: libraries choose their kernels by them."""
    name = _cpu_info().get("model name", platform.machine())
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def family() -> str:
    """Numbers of the CPU's family, model and stepping; hypervisors hide them from its name."""
    told = _cpu_info()
    return "-".join(told[key] for key in ("cpu family", "model", "stepping") if key in told)


def _cpu_info() -> dict[str, str]:
    """What Linux says of a CPU; nothing elsewhere."""
    lines = _CPU_INFO.read_text().splitlines() if _CPU_INFO.exists() else []
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}


@lru_cache
def bfloat16_pays(device: torch.device, kernel: Kernel = "convolution") -> bool:
    """Whether a typical kernel is clearly faster in bfloat16; on a CPU a flag would not tell.

    GPUs have units for it from compute capability 8 on, and kernels too short to be timed.
    Measured once a process: the best of ten runs each, taken in turn, so that what else the
    machine does at the moment falls on both. A job's own networks would be a closer measure, and
    one so close to the limit for some that two jobs of one seed could decide differently.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    work = [_KERNELS[kernel](device, kind) for kind in (torch.float32, torch.bfloat16)]
    wide = narrow = float("inf")
    for _ in range(_ROUNDS):
        wide = min(wide, timed(work[0], device)[1])
        narrow = min(narrow, timed(work[1], device)[1])
    return wide > _SPEEDUP_THAT_PAYS * narrow


def timed(work: Callable[[], Answer], device: torch.device) -> tuple[Answer, float]:
    """What work returns and the seconds that it took; on a GPU it must wait for its own end.

    On a CPU only this thread's own time counts, whatever else the machine does.
    """
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    start = clock()
    answer = work()
    return answer, clock() - start


def is_out_of_memory(error: Exception) -> bool:
    """PyTorch has a class for a full GPU, and for a full machine only sentences."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def _convolution(
    device: torch.device, dtype: torch.dtype, channels: int = 64, groups: int = 1
) -> Callable[[], float]:
    layout = torch.channels_last
    items = torch.ones(32, channels, 14, 14, device=device, dtype=dtype).to(memory_format=layout)
    weight = torch.ones(channels, channels // groups, 3, 3, device=device, dtype=dtype)
    weight = weight.to(memory_format=layout)
    # Reading one value waits for the device.
    return lambda: float(torch.conv2d(items, weight, padding=1, groups=groups)[0, 0, 0, 0])


def _product(device: torch.device, dtype: torch.dtype) -> Callable[[], float]:
    items = torch.ones(128, 512, device=device, dtype=dtype)
    weight = torch.ones(512, 512, device=device, dtype=dtype)
    return lambda: float((items @ weight)[0, 0])


_KERNELS: Mapping[Kernel, Callable[[torch.device, torch.dtype], Callable[[], float]]] = {
    "convolution": _convolution,
    "narrow_convolution": partial(_convolution, channels=4),
    "grouped_convolution": partial(_convolution, groups=16),
    "product": _product,
}

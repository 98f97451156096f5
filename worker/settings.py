"""Settings: everything that a ``RINGSIDE_*`` variable can change."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20
DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d{1,2})?)$"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def available_memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def half_of_the_cores() -> int:
    """Threads for a training that leave room for others.

    OpenMP's threads wait for each other at every operation: measured with one of two cores
    taken by another process, two threads trained at a hundredth of the speed of one.
    """
    return max(1, available_cores() // 2)


def some_of_the_cores(validated: dict[str, Any]) -> int:
    """Threads for sampling and scoring: more than four keep one process no busier."""
    processes: int = validated.get("processes", 1)
    return max(1, min(available_cores() // processes, 4))


def _sendable(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("a key may have printable ASCII characters only")
    return secret


# What a header can hold.
SendableSecret = Annotated[SecretStr, AfterValidator(_sendable)]


class Settings(BaseSettings):
    """One frozen value, read from the environment; each field is described in the README."""

    model_config = SettingsConfigDict(env_prefix="RINGSIDE_", frozen=True, extra="ignore")

    home: Path = Path(".ringside")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_keys: SendableSecret = SecretStr("")
    redis_url: str | None = None
    device: str = Field(default="auto", pattern=DEVICE_PATTERN)
    train_threads: int = Field(default_factory=half_of_the_cores, ge=1, le=256)
    processes: int = Field(default=1, ge=1, le=64)
    sampling_device: str = Field(default="cpu", pattern=DEVICE_PATTERN)
    sample_threads: int = Field(default_factory=some_of_the_cores, ge=1, le=256)
    max_upload_bytes: int = Field(default=1024 * MIB, ge=1)
    max_json_bytes: int = Field(default=MIB, ge=1)
    max_score_bytes: int = Field(default=256 * MIB, ge=1)
    max_held_bytes: int = Field(default=512 * MIB, ge=1)
    max_job_memory_bytes: int = Field(
        default_factory=lambda: available_memory_bytes() * 3 // 4, ge=1
    )
    max_queued_jobs: int = Field(default=2000, ge=1)
    slots: int = Field(default=1, ge=1, le=64)
    gpus_per_slot: int = Field(default=1, ge=1, le=64)
    max_attempts: int = Field(default=3, ge=1, le=1000)
    lease_seconds: float = Field(default=20, ge=3, le=3600)
    stall_seconds: float = Field(default=3600, ge=10, le=10**6)
    max_step_flops: int = Field(default=10**14, ge=1)
    model_cache_bytes: int = Field(default=512 * MIB, ge=1)
    answer_cache_bytes: int = Field(default=64 * MIB, ge=0)
    max_waiting_requests: int = Field(default=512, ge=1)
    request_timeout_seconds: float = Field(default=30, gt=0)
    import_timeout_seconds: float = Field(default=300, gt=0)
    tensorboard: bool = False
    evaluation_device: str = Field(default="cpu", pattern=DEVICE_PATTERN)
    evaluation_timeout_seconds: float = Field(default=600, gt=0)
    max_evaluation_samples: int = Field(default=20_000, ge=20)
    max_pending_evaluations: int = Field(default=100, ge=1)
    inception_weights: Path | None = None

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The API keys: the variable holds them separated by commas."""
        listed = self.api_keys.get_secret_value().split(",")
        return tuple(key.strip() for key in listed if key.strip())

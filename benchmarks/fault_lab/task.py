"""The jobs that faults are injected into."""

from typing import Any

STEPS, QUICK_STEPS, CHECKPOINT_STEPS, METRICS_STEPS = 2_000, 400, 25, 5
SEED = 11


def common(
    steps: int, metrics_every: int = METRICS_STEPS, checkpoints_every: int = CHECKPOINT_STEPS
) -> dict[str, Any]:
    """Digits, small networks: about 10 ms a step on one thread.

    Metrics every 5 steps show to 5 steps where an attempt was when it was killed.
    """
    return {
        "dataset": "digits",
        "recipe": "cgan",
        "seed": SEED,
        "steps": steps,
        "batch_size": 16,
        "game": {"network": {"generator_width": 4, "discriminator_width": 4}},
        "optimisation": {"precision": "float32"},
        "schedule": {
            "metrics_every": metrics_every,
            "checkpoints_every": checkpoints_every,
            "previews_every": 10**6,
        },
    }


def tiny(steps: int = 10, seed: int = SEED) -> dict[str, Any]:
    """Points on a ring: done in a moment."""
    return {"dataset": "ring", "recipe": "points", "steps": steps, "seed": seed}

"""Feature spaces: one file each, all with ``kind``, ``sha256``, ``of`` and ``labels``."""

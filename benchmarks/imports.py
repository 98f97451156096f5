"""Prints which of FastAPI, Redis and RQ an import of ganmodels loads, or "no"."""

import sys

import ganmodels.config
import ganmodels.recipes

loaded = [name for name in ("fastapi", "starlette", "redis", "rq") if name in sys.modules]
assert ganmodels.config
print(", ".join(loaded) or "no")

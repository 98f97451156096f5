"""Tests. A package, so that no installed library named `tests` is found in its place."""

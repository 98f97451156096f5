"""Inference in the API process: loaded models, bounded work, encoded answers."""

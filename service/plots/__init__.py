"""What a training looks like: pictures of a job's history, drawn when they are asked for.

``history`` and ``evaluations`` read a job's directory; ``curves``, ``quality``, ``scores`` and
``filmstrip`` are pure functions of what was read; ``rendering`` alone makes bytes. Nothing here is
imported before the first picture, because matplotlib takes a second.
"""

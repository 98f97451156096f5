"""Encodings: samples to bytes of one media type. ``formats`` has the table of them."""

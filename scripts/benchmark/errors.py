"""The one error that ends a benchmark run."""

from __future__ import annotations


class CannotMeasure(Exception):
    """A proxy did not start, did not answer or died: there is no figure to print."""

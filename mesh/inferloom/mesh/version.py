"""The one place that says which inferloom this is."""

__version__ = "0.1.0"

"""Sterna moves databases: everything that is there, then everything that changes, until you cut over."""

__version__ = "0.1.0"

"""Bytes of backup files into values: no sockets, no files of its own."""

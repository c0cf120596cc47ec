"""Bytes to values and back: RESP, RDB, CRC64, LZF. No sockets, no files."""

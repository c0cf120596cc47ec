"""Compares two servers: what there is, how many rows, and what is in them; mends the target on request."""

"""DRS v5 and v5.1: one task in a call."""

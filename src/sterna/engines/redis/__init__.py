"""Redis and Valkey: PSYNC out, RESTORE and the raw command stream in."""

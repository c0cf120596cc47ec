"""The only SQL about ourselves."""

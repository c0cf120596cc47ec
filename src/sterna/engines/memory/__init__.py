"""A database in memory that keeps all promises: for tests, and for trying things out."""

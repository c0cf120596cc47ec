"""A database in memory that keeps every promise of the ports: the smallest engine, which tests are built on."""

"""Real servers as child processes, for tests and measurements: fetched once, free ports, always cleaned up."""

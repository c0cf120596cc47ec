"""Which process runs which job."""

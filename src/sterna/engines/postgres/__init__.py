"""PostgreSQL: binary COPY on an exported snapshot, then logical decoding (pgoutput) until cutover."""

"""RDB and AOF files as a source: found in buckets and archives, read front to back, written like a live copy."""

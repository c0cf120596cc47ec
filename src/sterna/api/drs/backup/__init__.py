"""Backup migration: SQL Server backups out of buckets, in the words of v5 and of v1.0, on the same jobs."""

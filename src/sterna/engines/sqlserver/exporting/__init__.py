"""Tables of backups into files: CSV, Parquet, or scripts of T-SQL."""

"""SQL Server, from its backup files."""

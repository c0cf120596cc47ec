"""Object stores and local folders that hold backups."""

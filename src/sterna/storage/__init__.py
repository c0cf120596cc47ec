"""Object stores and folders: where files are read from and written to."""

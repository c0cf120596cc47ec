"""Every change of our own tables, oldest first. A published revision is never edited."""

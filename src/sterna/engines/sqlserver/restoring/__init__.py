"""Lets a SQL Server restore backup files by itself: the conversation over TDS, and what is decided on the way."""

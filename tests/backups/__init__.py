"""A writer of SQL Server backups from nothing, and what is made with it: fixtures, big files, fuzzing.

It knows the format from its description alone and shares no line with the reader, so that their agreement means
something.
"""

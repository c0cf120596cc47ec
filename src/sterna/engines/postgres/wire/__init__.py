"""Bytes of PostgreSQL's formats as values, and back: pgoutput messages, COPY data. No sockets."""

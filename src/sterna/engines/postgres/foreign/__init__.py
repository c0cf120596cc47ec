"""Taking what a source of another kind describes: its tables are made here, its rows come as COPY text."""

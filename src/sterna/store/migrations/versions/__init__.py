"""One module per revision: ``v<number>_<what it brings>.py``. The newest number stands in ``migrate.HEAD``."""

"""All routes of DRS v3 that are offered."""

from sterna.api.drs.v3 import compares, running, settings, table_compares, tasks, watching

ROUTERS = (
    tasks.routes,
    settings.routes,
    running.routes,
    watching.routes,
    compares.routes,
    table_compares.routes,
)

"""All routes of DRS v3 that are offered."""

from sterna.api.drs.v3 import compares, parameters, running, settings, table_compares, tasks, watching

ROUTERS = (
    tasks.routes,
    settings.routes,
    running.routes,
    watching.routes,
    parameters.routes,
    compares.routes,
    table_compares.routes,
)

"""All routes of v5 and v5.1 that are offered."""

from sterna.api.drs.v5 import acting, changing, connections, jobs, links, objects, policies, tags

ROUTERS = (
    jobs.routes,
    changing.routes,
    acting.routes,
    policies.routes,
    objects.routes,
    objects.routes_51,
    tags.routes,
    links.routes,
    connections.routes,
)

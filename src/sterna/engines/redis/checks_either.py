"""What is asked of source and target alike."""

from sterna.core.errors import AccessDenied, Unreachable
from sterna.core.finding import Verdict, alarm, failed, passed
from sterna.core.plan import Endpoint
from sterna.engines.redis.survey import Facts


def reachable(facts: Facts) -> Verdict:
    """Whether something answers there."""
    if isinstance(facts.trouble, Unreachable):
        return failed(facts.trouble.message, "Check address, port, firewall, TLS, and that the server runs")
    return passed(f"{facts.where} answers")


def authenticated(facts: Facts, endpoint: Endpoint) -> Verdict:
    """Whether user and password are taken."""
    if isinstance(facts.trouble, Unreachable):
        return alarm("Not tried: nothing answers", "Mend reachability first")
    if isinstance(facts.trouble, AccessDenied):
        tried = "Give the right user and password; try them: redis-cli --user … --askpass PING"
        usual = facts.trouble.hint == AccessDenied.hint
        return failed(facts.trouble.message, tried if usual else facts.trouble.hint)
    if facts.trouble:
        return failed(facts.trouble.message, facts.trouble.hint or "Look into the server's log")
    how = f"user {endpoint.user}" if endpoint.user else "a password" if endpoint.password else "no password"
    return passed(f"{facts.where} takes {how}")


def mode(facts: Facts, endpoint: Endpoint) -> Verdict:
    """Whether it is a single server with or without replicas: clusters are not moved yet."""
    said = facts.info.get("redis_mode") or facts.info.get("server_mode", "")
    if said == "cluster" or facts.info.get("cluster_enabled") == "1":
        return failed(
            f"{facts.where} is a node of a cluster",
            "Name a server with cluster-enabled no: clusters are not supported yet",
        )
    if said == "sentinel":
        return failed(
            f"{facts.where} is a sentinel, not a server",
            "Ask it for the server: SENTINEL GET-MASTER-ADDR-BY-NAME <master name>, and give that address",
        )
    if len(endpoint.addresses) > 1:  # only the first would be moved, and nobody would notice what is missing
        return failed(
            f"{len(endpoint.addresses)} addresses are named, and {facts.where} is not a node of a cluster",
            "Name one server; move several servers with one task each",
        )
    if not said:
        return alarm("The server does not say its mode", "Make sure that it is neither a cluster node nor a proxy")
    return passed(said)


def loading(facts: Facts) -> Verdict:
    """Whether it has finished reading its own data."""
    if facts.info.get("loading", "0") not in ("0", ""):
        left = facts.info.get("loading_eta_seconds", "?")
        return failed(f"Still loading its data, about {left} s left", "Wait until INFO persistence says loading:0")
    return passed("Not loading")


def rights(facts: Facts, user: str) -> Verdict:
    """Whether the user may do what a migration needs."""
    if facts.denied:
        names = sorted({text.partition(":")[0] for text in facts.denied})
        grants = " ".join(f"+{name.lower()}" for name in names)
        return failed("; ".join(facts.denied), f"ACL SETUSER {user or 'default'} ~* {grants}")
    return passed(f"User {user or 'default'} may run all commands that are needed")

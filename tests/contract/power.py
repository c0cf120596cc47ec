"""A store whose power fails at a chosen write: what a process sees that dies just before or just after it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sterna.core.stores import Store
from sterna.store.memory import MemoryStore

WRITES = frozenset(
    {
        *("add_job", "describe", "delete_job", "ask", "answer", "begin", "report", "advance", "forget"),
        *(
            "set_progress",
            "add_events",
            "set_findings",
            "put_note",
            "remove_note",
            "add_domain",
            "add_project",
            "remove_project",
        ),
        *("add_user", "put_user", "remove_user", "add_key", "remove_key", "add_token", "revoke_token"),
        *("sweep_tokens", "add_instance", "remove_instance"),
    }
)


class PowerLost(BaseException):
    """The power failed. Not an Exception: nothing that tidies up after errors may catch it."""


# To the type checker it is a store with every method; when it runs, each call goes through __getattr__.
if TYPE_CHECKING:
    _Whole = MemoryStore
else:
    _Whole = object


class PowerCut(_Whole):
    """Hands every call to ``store`` until the write number ``at`` (1 is the first; 0: never).

    That write raises PowerLost ``before`` it is carried out, or else after. From then on every call raises
    PowerLost and does nothing: the process is dead. ``writes`` counts the write calls begun, ``lost`` tells
    whether the power has failed.
    """

    def __init__(self, store: Store, at: int = 0, before: bool = True) -> None:
        self._store = store
        self._at = at
        self._before = before
        self.writes = 0
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Awaitable[object]] = getattr(self._store, name)
        if name in WRITES:
            return self._write(call)
        return self._read(call)

    def _read(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def reading(*args: object, **named: object) -> object:
            self._alive()
            return await call(*args, **named)

        return reading

    def _write(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def writing(*args: object, **named: object) -> object:
            self._alive()
            self.writes += 1
            last = self.writes == self._at
            if last and self._before:
                self._fail()
            answer = await call(*args, **named)
            if last:
                self._fail()
            return answer

        return writing

    def _alive(self) -> None:
        if self.lost:
            raise PowerLost

    def _fail(self) -> None:
        self.lost = True
        raise PowerLost

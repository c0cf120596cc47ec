"""What is answered to bytes that are no HTTP request: the shape that all refusals have, with a number too."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sterna.api.errors import Told, answer
from sterna.api.language import ENGLISH
from sterna.core.people import new_id

KEEP_ALIVE_S = 75
"""How long a connection may be silent. A client that asks again just as it is closed cannot tell whether its
request was carried out, and many ask every few seconds."""


class Wire(H11Protocol):
    """The HTTP protocol that the service is served with."""

    def send_400_response(self, msg: str) -> None:
        """Refuse and hang up. The server's own words are not passed on."""
        id = new_id()
        refusal = answer(Told("APIGW.0201.bad"), ENGLISH, id)
        headers = [*refusal.raw_headers, (b"x-request-id", id.encode()), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=refusal.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(refusal.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""An HTTP server that answers like a small object store, and remembers every request: for the form of requests."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_UPLOAD = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
_COMPLETE = b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag></CompleteMultipartUploadResult>"
_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@dataclass(frozen=True)
class Request:
    """One request as it came. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Answers = Callable[[Request], Answer | None]
"""What to say to a request; None: what an object store would."""


@dataclass
class Recording:
    """What came so far, and where it may be sent to."""

    port: int
    requests: list[Request] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def recording(answers: Answers = lambda request: None) -> Iterator[Recording]:
    """A server for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the standard error."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            held.requests.append(request)
            said = answers(request) or _usual(request, sizes)
            length = said.headers.get("Content-Length", str(len(said.body)))
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": length}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(said.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    sizes: dict[str, int] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    held = Recording(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _usual(request: Request, sizes: dict[str, int]) -> Answer:
    path, _, query = request.path.partition("?")
    if request.method == "PUT":
        sizes[path] = sizes.get(path, 0) + len(request.body) if "partNumber" in query else len(request.body)
        return Answer(headers={"ETag": '"e"'})
    if request.method == "POST":
        return Answer(body=_UPLOAD if "uploads" in query else _COMPLETE)
    if request.method == "HEAD":
        return Answer(headers={"ETag": '"e"', "Content-Length": str(sizes.get(path, 5))})
    if request.method == "DELETE":
        return Answer(204)
    if "range" in request.headers:
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        body = b"x" * (last + 1 - first)
        total = sizes.get(path, 5)
        return Answer(206, body, {"ETag": '"e"', "Content-Range": f"bytes {first}-{last}/{total}"})
    return Answer(body=_LIST)

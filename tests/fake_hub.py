"""A Hub on the loopback: the HEAD and GET that hf_hub_download makes, for files in memory."""

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.utils

COMMIT = "c0ffee" + 34 * "0"


@dataclass
class FakeHub:
    """`files` maps owner/repo/resolve/COMMIT/file, or .../main/file, to its bytes.

    Attributes:
        break_after: the first GET of a file ends after that many bytes, as a lost connection.
        stored_size: GET serves only that many bytes, though HEAD promises all.
        requests: (method, path, Range) of everything asked.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: int | None = None
    stored_size: int | None = None
    status: int = 200
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    def add(self, repo: str, file: str, content: bytes, *, revision: str = COMMIT) -> None:
        self.files[f"/{repo}/resolve/{revision}/{file}"] = content


@contextmanager
def serving(hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            content = self.begin()
            if content is None:
                return
            redirected = self.path.startswith("/cdn/")
            if redirected:
                self.send_response(200)
            else:  # as the real one sends large files to its CDN
                self.send_response(302)
                self.send_header("Location", f"{hub.url}/cdn{self.path}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Content-Length", str(len(content)) if redirected else "0")
            self.end_headers()

        def do_GET(self):
            content = self.begin()
            if content is None:
                return
            wanted = self.headers.get("Range", "")
            start = int(wanted.removeprefix("bytes=").split("-")[0] or 0)
            body = content[: hub.stored_size][start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            if wanted:
                end = len(content) - 1
                self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
            self.end_headers()
            if hub.break_after is not None:
                body, hub.break_after = body[: hub.break_after], None
                self.close_connection = True
            self.wfile.write(body)

        def begin(self):
            hub.requests.append((self.command, self.path, self.headers.get("Range", "")))
            content = hub.files.get(self.path.removeprefix("/cdn"))
            if hub.status == 200 and content is not None:
                return content
            self.send_response(hub.status if hub.status != 200 else 404)
            if hub.status == 200:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        huggingface_hub.close_session()  # its connections keep the server's threads alive
        server.shutdown()
        server.server_close()
        thread.join()


def point_at(monkeypatch, url, folder):
    """Make huggingface_hub ask `url` and keep its cache, and ours, under `folder`.

    It reads HF_ENDPOINT and HF_HOME when it is imported, which is long ago.
    """
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    huggingface_hub.utils.disable_progress_bars()

"""A Hugging Face Hub of one's own: what huggingface_hub asks of it to push and to pull."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Repositories by name, each of files by name; and all requests, as they came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def give(self, content: Any, code: int = 200, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def missing(self, kind: str) -> None:
        self.give({"error": f"{kind}\nnot found"}, 404, X_Error_Code=kind)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        repo, _, place = self.path[1:].partition("/resolve/")
        revision, _, name = place.partition("/")
        if repo not in self.server.repos:
            self.missing("RepoNotFound")
        elif revision not in ("main", COMMIT):
            self.missing("RevisionNotFound")
        elif name not in self.server.repos[repo]:
            self.missing("EntryNotFound")
        else:
            content = self.server.repos[repo][name]
            self.give(content, ETag=f'"{sha1(content).hexdigest()}"', X_Repo_Commit=COMMIT)

    def do_PUT(self) -> None:
        self.server.asked.append(f"PUT {self.path}")
        self.server.objects[self.path.rpartition("/")[2]] = self.body()
        self.give(b"")

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.body()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            if repo.startswith("closed/"):
                self.give({"error": "Forbidden: you have\nno rights"}, 403)
                return
            self.server.repos.setdefault(repo, {})
            hidden = asked.get("private") or asked.get("visibility") == "private"
            self.server.private[repo] = bool(hidden)
            self.give({"url": f"{self.server.address}/{repo}", "id": repo})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            kinds = [("lfs" if name.endswith(".safetensors") else "regular") for name in files]
            each = [
                {"path": name, "uploadMode": kind, "shouldIgnore": False}
                for name, kind in zip(files, kinds, strict=True)
            ]
            self.give({"files": each})
        elif self.path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            upload = f"{self.server.address}/objects/"
            each = [o | {"actions": {"upload": {"href": upload + o["oid"]}}} for o in objects]
            self.give({"transfer": "basic", "objects": each})
        elif "/commit/" in self.path:
            repo = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            self.commit(repo, body)
            address = f"{self.server.address}/{repo}/commit/{COMMIT}"
            self.give({"success": True, "commitOid": COMMIT, "commitUrl": address})
        else:  # such as whether a card's head is YAML
            self.give({"errors": [], "warnings": []})

    def commit(self, repo: str, body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            entry, files = line["value"], self.server.repos[repo]
            if line["key"] == "file":
                files[entry["path"]] = base64.b64decode(entry["content"])
            elif line["key"] == "lfsFile":
                content = self.server.objects[entry["oid"]]
                assert sha256(content).hexdigest() == entry["oid"]
                files[entry["path"]] = content


@contextmanager
def hub() -> Iterator[Hub]:
    """A hub on this machine, while it is needed."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

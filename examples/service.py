"""A service that judges the pictures it is sent: `python service.py BUNDLE [PORT]`, needs nothing but snl-edge.

curl --data-binary @part.png http://127.0.0.1:8090/        answers with the verdict as JSON (docs/infer.schema.json)
"""

from __future__ import annotations

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from snl_edge import Detector, SnlEdgeError, decode_image
from snl_edge.errors import DataError

LARGEST = 64 << 20
"""Bytes of a picture; more is refused unread."""


def serve(detector: Detector, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone, a thread for each call; all of them share the detector."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST:
                self.answer(413, {"error": f"send a picture of at most {LARGEST} bytes"})
                return
            try:
                picture = decode_image(self.rfile.read(int(length)), "the picture")  # RGB in 8 or 16 bits
                (verdict,) = detector.detect(picture, colours="rgb")
            except DataError as error:  # this picture's fault
                self.answer(400, {"error": str(error)})
            except SnlEdgeError as error:  # ours
                self.answer(500, {"error": str(error)})
            else:
                self.answer(200, verdict.to_dict())

        def answer(self, status: int, content: dict[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Judge the pictures that are sent.")
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="that snl-edge build made")
    parser.add_argument("port", metavar="PORT", type=int, nargs="?", default=8090, help="8090 if not given")
    asked = parser.parse_args()
    try:
        with Detector.load(asked.bundle) as loaded, serve(loaded, asked.port) as server:
            sys.stdout.write(f"{loaded.backend_reason}; http://127.0.0.1:{server.server_port}\n")
            server.serve_forever()
    except (SnlEdgeError, OSError, OverflowError) as error:  # no such bundle; the port is taken, or none
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)

"""Serve the page that classifies a dropped image, and the student it asks.

    npm ci --prefix examples/browser
    python examples/browser/serve.py --model=student.tflite

Needs Python alone, and a file that `keras-ft export` wrote.
"""

import argparse
import http.server
from pathlib import Path

PAGE = Path(__file__).resolve().parent
PACKAGES = "node_modules"


class Handler(http.server.SimpleHTTPRequestHandler):
    """The page's folder, the packages and the model, as one site."""

    extensions_map = {
        ".css": "text/css",
        ".html": "text/html",
        # What modules and WebAssembly insist on, whatever the machine's own
        # tables say.
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".txt": "text/plain; charset=utf-8",
    }

    def __init__(self, *args, model, packages, page, **kwargs):
        self.files = {
            "model.tflite": model,
            "labels.txt": model.with_name("labels.txt"),
        }
        self.packages = packages
        super().__init__(*args, directory=page, **kwargs)

    def translate_path(self, path):
        found = Path(super().translate_path(path))
        first, *others = found.relative_to(self.directory).parts or [""]
        if first == PACKAGES:
            return str(self.packages.joinpath(*others))
        return str(self.files.get(first, found))

    def end_headers(self):
        # An isolated page has a clock fine enough for a student's time.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *args):
        pass


def server(model, packages, page=PAGE, host="localhost", port=0):
    """Return a server of `page`; port 0 is any free one."""

    def handler(*args):
        return Handler(*args, model=model, packages=packages, page=page)

    return http.server.ThreadingHTTPServer((host, port), handler)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--packages", type=Path, default=PAGE / PACKAGES)
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    if not given.model.is_file():
        parser.error(f"no model at {given.model}")
    if not (given.packages / "@litertjs" / "core").is_dir():
        parser.error(f"no LiteRT.js: run `npm ci --prefix {PAGE}`")
    with server(
        given.model, given.packages, host=given.host, port=given.port
    ) as site:
        host, port = site.server_address[:2]
        print(f"http://{host}:{port}/ (stop with Ctrl-C)", flush=True)
        try:
            site.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()

"""A web server behind TLS that writes the body of each POST as a line.

It prints its port once it listens, and ends when its standard input does.
"""

import http.server
import pathlib
import ssl
import sys
import threading

into = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent / "tls"


class Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with into.open("ab") as file:
            file.write(body + b"\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(here / "server.pem", here / "server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taking)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()

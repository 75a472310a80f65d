"""A small HTTP server that gets webhooks and checks their signatures by the Standard Webhooks specification."""
import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import wait_until


def signature(secret, message, timestamp, body):
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    mac = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode()


class Receiver:
    """answer(n) says with which status request number n (from 0) is answered; it may take its time."""

    def __init__(self, secret=None, answer=lambda n: 200, port=0, tls=None):
        self.secret, self.answer, self.got, self.lock, self.under_way = secret, answer, [], threading.Lock(), 0
        self.most_under_way = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.serve(self)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?x=1"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.url = f"https://localhost:{self.port}/hook?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def serve(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        message, timestamp = request.headers.get("webhook-id"), request.headers.get("webhook-timestamp")
        entry = {"method": request.command, "path": request.path, "id": message, "body": json.loads(body or "{}"),
                 "type": request.headers.get("Content-Type"), "agent": request.headers.get("User-Agent"),
                 "age": time.time() - int(timestamp or 0), "ms": time.time() * 1000,
                 "signed": self.secret and request.headers.get("webhook-signature") ==
                 signature(self.secret, message, timestamp, body)}
        with self.lock:
            number = len(self.got)
            self.got.append(entry)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        status = self.answer(number)
        with self.lock:
            self.under_way -= 1
        request.send_response(status)
        if 300 <= status < 400:
            request.send_header("Location", f"http://127.0.0.1:{self.port}/elsewhere")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def wait(self, count, timeout=20):
        wait_until(lambda: len(self.got) >= count, timeout, f"{count} deliveries, got {len(self.got)}")
        return self.got

    def close(self):
        self.server.shutdown()
        self.server.server_close()

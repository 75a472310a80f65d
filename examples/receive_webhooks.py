#!/usr/bin/env python3
"""Receives webhooks and believes only what is signed: receive_webhooks.py PORT SECRET-FILE

The same as a library of the Standard Webhooks specification would check, in a few lines of Python.
"""
import base64
import hashlib
import hmac
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def is_genuine(secret, headers, body, tolerance_s=300):
    """Did who knows the secret send this, just now?"""
    message, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > tolerance_s:
        return False
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    mac = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return hmac.compare_digest(headers.get("webhook-signature", ""), "v1," + base64.b64encode(mac).decode())


class Handler(BaseHTTPRequestHandler):
    secret, seen = "", set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        genuine = is_genuine(self.secret, self.headers, body)
        self.send_response(204 if genuine else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
        event = json.loads(body) if genuine else {}
        if genuine and event["id"] not in self.seen:  # at least once: the same may come again
            self.seen.add(event["id"])
            print(event["event"], event.get("job", ""), event.get("state", ""), flush=True)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    with open(sys.argv[2], encoding="utf-8") as file:
        Handler.secret = file.read().strip()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

"""A Python service on the held socket (UPDATE_LISTEN), by the standard library alone."""
import http.server
import os
import signal
import socket
import threading

VERSION = open("VERSION", "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(VERSION)))
        self.end_headers()
        self.wfile.write(VERSION)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # Ends when they have answered.
    daemon_threads = False


def listen():
    is_held = os.environ.get("LISTEN_PID") == str(os.getpid())
    server = Server(("", 8080), Handler, bind_and_activate=not is_held)
    if is_held:
        server.socket.close()
        server.socket = socket.socket(fileno=3)
        # Another copy may have taken what both were told of.
        server.socket.setblocking(False)
    return server


def ready():
    if "NOTIFY_SOCKET" in os.environ:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


server = listen()
# Waited for, since a handler would run in the midst of whatever the main thread does.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
threading.Thread(target=server.serve_forever, args=[0.1]).start()
ready()
signal.sigwait([signal.SIGTERM])
server.shutdown()
# Our copy of the listener only; waits for the answers under way.
server.server_close()

"""An ASGI service on the held socket (UPDATE_LISTEN): uvicorn --fd 3 app:app, or as below."""
import asyncio
import os
import socket

import uvicorn

VERSION = open("VERSION", "rb").read()
draining = False


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(b"content-length", str(len(VERSION)).encode())]
    if draining:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": VERSION})


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        if "NOTIFY_SOCKET" in os.environ:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])

    async def shutdown(self, sockets=None):
        # Our copy of the listener only: what comes from now on waits for the next version. Then
        # uvicorn cuts connections that have not asked yet, so they have time to.
        global draining
        draining = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.2)
        await super().shutdown(sockets)


if __name__ == "__main__":
    is_held = os.environ.get("LISTEN_PID") == str(os.getpid())
    Server(uvicorn.Config(app, fd=3 if is_held else None, port=8080)).run()

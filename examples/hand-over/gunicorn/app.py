"""By gunicorn, which takes held sockets (UPDATE_LISTEN) and says READY=1 by itself."""
VERSION = open("VERSION", "rb").read()


def app(_environ, start_response):
    start_response("200 OK", [("Content-Length", str(len(VERSION)))])
    return [VERSION]

"""A Python that has imported TensorFlow already: each call is a fork of it, fresh but for that.

The export is proved in a process of its own, of whose three seconds the import is two. Tests that
train take this one, see `conftest.py`; tests of the proof itself, and of whole commands, do not.

Usage: python warm_python.py SOCKET -c SOURCE ARGUMENT...    as python -c SOURCE ARGUMENT...
       python warm_python.py SOCKET                          the process that is forked
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback


@functools.cache
def command() -> list[str]:
    """In the place of [sys.executable], for `-c`; the first call starts the one that is forked."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = os.path.join(folder.name, "socket")
    # It ends when its standard input does, so with this process.
    server = subprocess.Popen(
        [sys.executable, __file__, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(server.communicate)
    assert server.stdout.readline() == b"ready\n"
    return [sys.executable, "-I", "-S", __file__, path]


def ask(path: str, arguments: list[str]) -> int:
    """The exit code of a fork that has this process's streams, folder and arguments."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        request = json.dumps({"cwd": os.getcwd(), "argv": arguments}).encode()
        socket.send_fds(connection, [len(request).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(request)
        code = connection.recv(1)
    return code[0] if code else 128 + signal.SIGABRT


def serve(path: str) -> None:
    """Fork for each request, until standard input ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        import tensorflow  # noqa: F401

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                run(connection)
            connection.close()


def run(connection: socket.socket) -> None:
    """Become the process that was asked for; does not return."""
    code = 1
    try:
        length, streams, _, _ = socket.recv_fds(connection, 4, 3)
        stream = connection.makefile("rb")
        request = json.loads(stream.read(int.from_bytes(length, "big")))
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.chdir(request["cwd"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, source, *rest = request["argv"]
        sys.argv = ["-c", *rest]
        sys.path[0] = ""
        exec(compile(source, "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    if arguments := sys.argv[2:]:
        sys.exit(ask(sys.argv[1], arguments))
    serve(sys.argv[1])

"""A port that passes on to another, with TLS in front of it or without; it can come late, and show any certificate."""

import contextlib
import select
import socket
import ssl
import threading


class Relay:
    """Listens from `open` to `close`, on a port that is known, and refused, before."""

    def __init__(self, target: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        self.target, self.context = target, context
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> "Relay":
        self.open()
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def open(self) -> None:
        """Takes connections from now on."""
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more; those that are there live on."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self) -> None:
        """One thread for each connection."""
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """One connection; a handshake that the other side breaks off is its own affair."""
        with contextlib.suppress(OSError), client:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            with socket.create_connection(self.target) as server, client:
                pass_on(client, server)


def pass_on(client: socket.socket, server: socket.socket) -> None:
    """Both ways until either ends. A TLS connection must not be read and written by two threads at once."""
    while True:
        # What TLS has unpacked already, no select sees.
        unpacked = isinstance(client, ssl.SSLSocket) and client.pending()
        ready = [client] if unpacked else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (server if source is client else client).sendall(data)

"""tinyproxy, a proxy that is not ours, and what its own log says went through it."""

import re
import socket
import subprocess
import time
from pathlib import Path

from endpoints import free_ports, tail

START_SECONDS_MAX = 10
REQUEST = re.compile(r"Request \(file descriptor [0-9]+\): (\S+) (\S+) HTTP")


class Proxy:
    """A proxy on a port of its own, which keeps the port when it is stopped and started again."""

    def __init__(self, directory: Path, user: str = "", password: str = "") -> None:
        [self.port] = free_ports(1)
        self.url = self.url_for(user, password)
        self.log = directory / "tinyproxy.log"
        self.log.touch()
        self.process: subprocess.Popen | None = None
        self.config = directory / "tinyproxy.conf"
        lines = [f"Port {self.port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 100",
                 f'LogFile "{self.log}"', "LogLevel Connect"]
        if user:
            lines.append(f"BasicAuth {user} {password}")
        self.config.write_text("\n".join(lines) + "\n")

    def __enter__(self) -> "Proxy":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def url_for(self, user: str, password: str) -> str:
        """Its URL, with these in it."""
        return f"http://{user}:{password}@127.0.0.1:{self.port}" if user else f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it takes connections."""
        self.process = subprocess.Popen(
            ["tinyproxy", "-d", "-c", str(self.config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"tinyproxy does not start:\n{tail(self.log)}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Kills it, with all connections that it has."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def requests(self) -> list[tuple[str, str]]:
        """Method and target of every request that it was sent, refused ones included."""
        return REQUEST.findall(self.log.read_text("utf-8", "replace"))

"""The way to the service: proxies, certificates, IPv6."""

import contextlib
import datetime
import socket
from collections.abc import Iterator

from bench import GZIP, QUEUE, Bench, Case
from endpoints import free_ports
from forwarder import Failed, Skipped
from proxy import Proxy
from relay import Relay
from stream import Stream
from tls import Authority

USER, PASSWORD = "edge", "north-sea-7"
HOUR = datetime.timedelta(hours=1)


def went(proxy: Proxy, method: str, target: str) -> int:
    """How many requests the proxy's own log names; none of another kind may be among them."""
    requests = proxy.requests()
    others = {(verb, url) for verb, url in requests if verb != method or not url.startswith(target)}
    if others:
        raise Failed(f"the proxy was asked for {sorted(others)[:3]}, not only for {method} {target}")
    return len(requests)


def through(bench: Bench, proxy: Proxy, stream: Stream, form: str, expected: list, environment: dict | None = None) -> None:
    """Everything arrives, and all of it through the proxy: no fewer requests than there are records."""
    bench.forward(stream, form, expected, environment=environment)
    requests = went(proxy, "POST", bench.endpoint.url)
    if requests < len(stream.records):
        raise Failed(f"{len(stream.records)} records arrived, but only {requests} requests went through the proxy")


def proxy_by_setting(bench: Bench) -> None:
    """`proxy:` of the output, plain HTTP."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 3000)
    with Proxy(bench.directory) as proxy:
        bench.configure(stream, GZIP, QUEUE, {"max_record_size": "32 KiB", "proxy": proxy.url})
        through(bench, proxy, stream, "gzip", expected)


def proxy_by_environment(bench: Bench) -> None:
    """Lower case wins: nobody listens where the upper case points to."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 3000)
    [dead] = free_ports(1)
    bench.configure(stream, GZIP, QUEUE, {"max_record_size": "32 KiB"})
    with Proxy(bench.directory) as proxy:
        environment = {"HTTP_PROXY": f"http://127.0.0.1:{dead}", "http_proxy": proxy.url}
        through(bench, proxy, stream, "gzip", expected, environment)


def proxy_with_password(bench: Bench) -> None:
    """HTTPS through CONNECT: with a wrong password nothing arrives and the log says why, with the right one everything."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 2000)
    secure = {"endpoint": bench.endpoint.tls_url, "ca_file": str(bench.endpoint.authority.ca_file)}
    target = bench.endpoint.tls_url.removeprefix("https://")
    with Proxy(bench.directory, USER, PASSWORD) as proxy:
        place = f"127.0.0.1:{proxy.port}"
        bench.configure(stream, GZIP, QUEUE, secure, {"proxy": proxy.url_for(USER, "wrong-7")})
        bench.refused(stream, f"the proxy {place} gives no way to {target}", "check the proxy and its password")
        if went(proxy, "CONNECT", target) == 0:
            raise Failed("the proxy was not asked at all")
        bench.configure(stream, GZIP, QUEUE, secure, {"proxy": proxy.url})
        before = went(proxy, "CONNECT", target)
        bench.forward(stream, "gzip", expected)
        if went(proxy, "CONNECT", target) == before:
            raise Failed("everything arrived, but nothing went through the proxy")
    shown = [word for word in (PASSWORD, "wrong-7") if word in bench.forwarder.log.read_text("utf-8", "replace")]
    if shown:
        raise Failed(f"the log shows the passwords {shown}")


def without_proxy(bench: Bench) -> None:
    """`NO_PROXY` leads past a proxy, whoever named that: the environment or the setting."""
    stream = bench.stream(2)
    expected = []
    with Proxy(bench.directory) as proxy:
        for number, setting in enumerate(({}, {"proxy": proxy.url})):
            expected += bench.numbered("numbered.log", 1000 * number, 1000)
            bench.configure(stream, GZIP, QUEUE, setting)
            environment = {"http_proxy": proxy.url, "NO_PROXY": "example.com,127.0.0.1"}
            bench.forward(stream, "gzip", expected, environment=environment)
            if proxy.requests():
                raise Failed(f"the proxy was asked for {proxy.requests()[:3]}")


def proxy_that_goes_away(bench: Bench) -> None:
    """It is killed in the middle and comes back: nothing is missing. An answer that it held is lost, and then it is sent again."""
    bench.answers_get_lost = True
    stream = bench.stream(2)
    expected = []
    queue = QUEUE | {"queue": QUEUE["queue"] | {"mode": "error"}}
    with Proxy(bench.directory) as proxy:
        bench.configure(stream, GZIP, queue, {"max_record_size": "16 KiB", "proxy": proxy.url})
        bench.forwarder.start()
        for _ in range(2):
            bench.flow(expected, 1, 3000)
            bench.arrive(stream, "gzip", expected[:len(expected) // 2])
            proxy.stop()
            bench.flow(expected, 1, 3000)
            bench.hear(f"through the proxy 127.0.0.1:{proxy.port}")
            proxy.start()
        bench.finish(stream, "gzip", expected)
        if went(proxy, "POST", bench.endpoint.url) < len(stream.records):
            raise Failed("records arrived that did not go through the proxy")


def secure(bench: Bench) -> dict:
    """Settings for the TLS port of kinesis-local, whose certificate is from an authority of the tests."""
    return {"endpoint": bench.endpoint.tls_url}


def stranger(bench: Bench) -> dict:
    """The machine trusts one authority, and that is another: what a test sees does not depend on the machine."""
    return {"SSL_CERT_FILE": str(Authority(bench.directory / "stranger", "stranger").ca_file)}


def tls_unknown(bench: Bench) -> None:
    """Without `ca_file`, an authority of one's own is not trusted; with it, everything arrives."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 2000)
    bench.configure(stream, GZIP, QUEUE, secure(bench))
    where = bench.endpoint.tls_url.removeprefix("https://")
    bench.refused(stream, f"TLS with {where} failed", "UnknownIssuer", environment=stranger(bench))
    bench.configure(stream, GZIP, QUEUE, secure(bench), {"ca_file": str(bench.endpoint.authority.ca_file)})
    bench.forward(stream, "gzip", expected)


@contextlib.contextmanager
def shown(bench: Bench, name: str, hosts: list[str], begin: datetime.timedelta, end: datetime.timedelta) -> Iterator[dict]:
    """Settings for a way to the endpoint on which another certificate is shown, though from an authority that is trusted."""
    certificate = bench.endpoint.authority.issue(name, hosts, begin, end)
    with Relay(bench.endpoint.address, certificate.context()) as relay:
        yield {"endpoint": relay.url, "ca_file": str(bench.endpoint.authority.ca_file)}


def tls_other_name(bench: Bench) -> None:
    """A certificate for another host is refused, and the log says for which host it is."""
    stream = bench.stream(2)
    bench.numbered("numbered.log", 0, 500)
    with shown(bench, "other", ["other.example"], -HOUR, HOUR) as settings:
        bench.configure(stream, GZIP, QUEUE, settings)
        bench.refused(stream, "certificate not valid for name", "other.example")


def tls_expired(bench: Bench) -> None:
    """A certificate that has run out is refused, and the log says so."""
    stream = bench.stream(2)
    bench.numbered("numbered.log", 0, 500)
    with shown(bench, "expired", ["127.0.0.1"], -2 * HOUR, -HOUR) as settings:
        bench.configure(stream, GZIP, QUEUE, settings)
        bench.refused(stream, "certificate expired")


def tls_accept_any(bench: Bench) -> None:
    """`reject_unauthorized: false` takes even a certificate that has run out and is for somebody else, and warns at each start."""
    stream = bench.stream(2)
    expected = []
    with shown(bench, "any", ["other.example"], -2 * HOUR, -HOUR) as settings:
        for number in range(2):
            expected += bench.numbered("numbered.log", 1000 * number, 1000)
            bench.configure(stream, GZIP, QUEUE, {"endpoint": settings["endpoint"], "reject_unauthorized": False})
            bench.forwarder.start(environment=stranger(bench))
            bench.hear("WARN", "reject_unauthorized")
            bench.finish(stream, "gzip", expected)


def ipv6(bench: Bench) -> None:
    """An endpoint on `[::1]`."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise Skipped(f"this machine has no ::1: {error}") from None
    bench.another(host="::1")
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 2000)
    bench.configure(stream, GZIP, QUEUE)
    bench.forward(stream, "gzip", expected)


NODE = ("kinesis-local",)
CASES = [
    Case("proxy by setting", proxy_by_setting, NODE, ("tinyproxy",)),
    Case("proxy by environment", proxy_by_environment, NODE, ("tinyproxy",)),
    Case("proxy with a password", proxy_with_password, NODE, ("tinyproxy",)),
    Case("no proxy", without_proxy, NODE, ("tinyproxy",)),
    Case("proxy that goes away", proxy_that_goes_away, NODE, ("tinyproxy",)),
    Case("tls, unknown authority", tls_unknown, NODE),
    Case("tls, another name", tls_other_name, NODE),
    Case("tls, run out", tls_expired, NODE),
    Case("tls, any certificate", tls_accept_any, NODE),
    Case("ipv6", ipv6, ("embedded",)),
]

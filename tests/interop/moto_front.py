#!/usr/bin/env python3
"""moto, with its refusals in the form that AWS gives them. Started with a port.

What moto refuses, and the code and the words for it, are its own. But it writes every refusal as a page of `text/html` with
XML that no service has: Kinesis writes JSON, STS puts no `<Errors>` around the error. No client of either understands it.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple

REFUSAL = re.compile(rb"<ErrorResponse><Errors><Error><Code>(.*?)</Code><Message>(.*?)</Message>.*</Errors></ErrorResponse>", re.DOTALL)
STS = (b'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code>'
       b"<Message>%s</Message></Error><RequestId>0</RequestId></ErrorResponse>")


class Front:
    """Passes everything on, and gives refusals another form."""

    def __init__(self, inner: Callable) -> None:
        self.inner = inner

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        """One request."""
        answers = []
        body = b"".join(self.inner(environ, lambda status, headers, *_: answers.append((status, headers))))
        [(status, headers)] = answers
        refusal = REFUSAL.search(body) if status.startswith("40") else None
        if refusal:
            kinesis = "HTTP_X_AMZ_TARGET" in environ
            code, words = refusal.groups()
            body = json.dumps({"__type": code.decode(), "message": words.decode()}).encode() if kinesis else STS % (code, words)
            form = "application/x-amz-json-1.1" if kinesis else "text/xml"
            headers = [(name, value) for name, value in headers if name.lower() not in ("content-type", "content-length")]
            headers += [("Content-Type", form), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), Front(DomainDispatcherApplication(create_backend_app)), threaded=True,
               request_handler=MotoRequestHandler)

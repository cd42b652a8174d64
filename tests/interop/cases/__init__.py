"""The tests, by theme: each forwards log lines to a stream and holds what arrived against what was sent."""

from bench import Case
from cases import auth, formats, inputs, network, shards

ALL: list[Case] = formats.CASES + inputs.CASES + shards.CASES + network.CASES + auth.CASES


def cases(endpoint: str) -> list[Case]:
    """The tests for an endpoint."""
    return [case for case in ALL if endpoint in case.endpoints]

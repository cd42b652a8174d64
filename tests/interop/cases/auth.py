"""Keys, roles and permissions, which moto checks.

What moto 5.2 checks (and `moto_front.py` gives the form of AWS), once it is told to: signatures; session tokens; the actions of identity policies; for
sts:AssumeRole also the resource, and the role's trust policy with its principal and its sts:ExternalId. What it does not:

- the resources of Kinesis' actions. It takes each of them for `*`, so that a statement which names a stream never
  matches. The printed resources are therefore held against the stream's ARN here, and moto gets `*` in their place.
- that there is an external id at all: only a wrong one is refused.
- that a session has run out.
"""

import contextlib
import fnmatch
import json
import os
from collections.abc import Iterator
from pathlib import Path

from bench import EVENT, GZIP, QUEUE, Bench, Case
from endpoints import Endpoint, moto_checks
from forwarder import Failed

ACCOUNT = "123456789012"
EXTERNAL_ID = "interop-north-7"
VERSION = "2012-10-17"


@contextlib.contextmanager
def checked(endpoint: Endpoint) -> Iterator[dict]:
    """While this lasts, moto checks everything; the keys of somebody who may do everything, to look on."""
    name = "reader"
    everything = {"Version": VERSION, "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    keys = user(endpoint, name, everything)
    moto_checks(endpoint, on=True)
    try:
        yield keys
    finally:
        moto_checks(endpoint, on=False)
        iam = endpoint.client("iam")
        iam.delete_access_key(UserName=name, AccessKeyId=keys["access_key"])
        iam.delete_user_policy(UserName=name, PolicyName="policy")
        iam.delete_user(UserName=name)


def user(endpoint: Endpoint, name: str, policy: dict) -> dict:
    """A user who may do that; a pair of keys."""
    iam = endpoint.client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key": key["AccessKeyId"], "secret_key": key["SecretAccessKey"]}


def role(endpoint: Endpoint, name: str, trusted: str, policy: dict) -> None:
    """A role that may do that, for a user of the tests who knows the external id."""
    trust = {"Version": VERSION, "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/{trusted}"},
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}}]}
    iam = endpoint.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=json.dumps(policy))


def printed(bench: Bench) -> list[dict]:
    """The policies that `check --iam-policy` prints, with the stream's resources held against the stream and opened for moto."""
    policies = []
    for identity in bench.forwarder.policies():
        policy = identity["policy"]
        for statement in policy["Statement"]:
            if statement["Action"][0].startswith("kinesis:"):
                arn = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{bench.directory.name}"
                [resource] = statement["Resource"]
                if not fnmatch.fnmatchcase(arn, resource) or fnmatch.fnmatchcase(arn + "x", resource):
                    raise Failed(f"the printed policy is for {resource}, not for {arn} alone")
                statement["Resource"] = ["*"]
        policies.append(policy)
    return policies


def without(policy: dict, action: str) -> dict:
    """The policy, with an action less."""
    statements = [one | {"Action": [kept for kept in one["Action"] if kept != action]} for one in policy["Statement"]]
    if statements == policy["Statement"]:
        raise Failed(f"the printed policy has no {action}: {policy}")
    return policy | {"Statement": statements}


def manual(keys: dict) -> dict:
    """The `auth` section with these keys."""
    return {"auth": {"method": "manual"} | keys}


def signed(bench: Bench) -> None:
    """A wrong secret key delivers nothing and is named in the log, the right one delivers everything, with the printed policy."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 500)
    bench.configure(stream, GZIP, QUEUE)
    [policy] = printed(bench)
    keys = user(bench.endpoint, "signed", policy)
    with checked(bench.endpoint) as reader:
        stream.use(reader)
        bench.configure(stream, GZIP, QUEUE, manual(keys | {"secret_key": "x" * 40}))
        bench.refused(stream, "SignatureDoesNotMatch", "the secret key does not belong to the access key")
        bench.configure(stream, GZIP, QUEUE, manual(keys))
        bench.forward(stream, "gzip", expected)


def described(bench: Bench) -> None:
    """`use_list_shards: false` asks DescribeStream, and its policy allows that and no listing."""
    stream = bench.stream(3)
    expected = bench.numbered("numbered.log", 0, 400)
    settings = [EVENT, QUEUE, {"use_list_shards": False}]
    bench.configure(stream, *settings)
    [policy] = printed(bench)
    keys = user(bench.endpoint, "described", policy)
    bench.configure(stream, *settings, manual(keys))
    with checked(bench.endpoint) as reader:
        stream.use(reader)
        bench.forwarder.start()
        bench.hear("shards verified", "open_shards=3")
        bench.finish(stream, "event", expected)


def role_with_external_id(bench: Bench) -> None:
    """The printed policies are enough for a user, the role that it takes on, and everything to arrive; any less is not."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 800)
    taken = {"enabled": True, "arn": f"arn:aws:iam::{ACCOUNT}:role/edge", "external_id": EXTERNAL_ID,
             "sts_endpoint": bench.endpoint.url}
    bench.configure(stream, GZIP, QUEUE, {"assume_role": taken})
    of_user, of_role = printed(bench)
    keys = user(bench.endpoint, "taker", of_user)
    role(bench.endpoint, "edge", "taker", without(of_role, "kinesis:PutRecord"))
    with checked(bench.endpoint) as reader:
        stream.use(reader)
        bench.configure(stream, GZIP, QUEUE, manual(keys), {"assume_role": taken | {"external_id": "another"}})
        bench.refused(stream, "the AWS credentials were refused", "AccessDenied", "external_id")
        bench.configure(stream, GZIP, QUEUE, manual(keys), {"assume_role": taken})
        bench.refused(stream, "AccessDenied", "assumed-role/edge/millpond is not authorized to perform: kinesis:PutRecord",
                      "allow this operation on the stream in the IAM policy")
        iam = bench.endpoint.client("iam", **reader)
        iam.put_role_policy(RoleName="edge", PolicyName="policy", PolicyDocument=json.dumps(of_role))
        bench.forward(stream, "gzip", expected)


def secret_replaced(bench: Bench) -> None:
    """`auth: { method: secret }`: the keys in the file are wrong, and are replaced while the forwarder runs; no restart."""
    stream = bench.stream(2)
    expected = bench.numbered("numbered.log", 0, 500)
    file = bench.directory / "keys.json"
    settings = [GZIP, QUEUE, {"auth": {"method": "secret", "secret": "kinesis"}}]
    secrets = {"kinesis": {"file": str(file)}}
    replace(file, {"access_key": "AKIANOBODY", "secret_key": "x" * 40})
    bench.configure(stream, *settings, secrets=secrets)
    [policy] = printed(bench)
    keys = user(bench.endpoint, "secret", policy)
    with checked(bench.endpoint) as reader:
        stream.use(reader)
        bench.forwarder.start()
        bench.hear("InvalidClientTokenId", "AWS does not know this access key")
        stream.poll()
        bench.hold([f"{len(stream.records)} records arrived with keys that nobody knows"] if stream.records else [])
        replace(file, keys)
        bench.finish(stream, "gzip", expected)


def replace(path: Path, keys: dict) -> None:
    """Writes keys as a careful person does: all of them at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(keys))
    os.replace(fresh, path)


MOTO = ("moto",)
CASES = [
    Case("signed", signed, MOTO),
    Case("shards described", described, MOTO),
    Case("role with an external id", role_with_external_id, MOTO),
    Case("secret replaced", secret_replaced, MOTO),
]

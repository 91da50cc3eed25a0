"""An AWS on a loopback port: moto, with a CloudFormation in front of it that deploys by the services' own calls, and with
the few calls that moto does not have.

    python3 emulator.py PORT

moto's own CloudFormation makes 15 of the 30 types that Nightlatch's template has, leaves out properties of those, does not
see that a condition has changed, and takes nothing back; so it is not used. Nothing here checks who may do what, nothing
is behind the names, and what a stack takes on AWS (minutes) it does not take here."""
import json
import logging
import os
import secrets
import sys
import traceback
import urllib.parse
from io import BytesIO
from xml.sax.saxutils import escape

ACCOUNT = "111122223333"
# Read when moto is imported. A certificate is issued as soon as it is asked for.
os.environ.update({"MOTO_ACCOUNT_ID": ACCOUNT, "MOTO_ACM_VALIDATION_WAIT": "0"})
# AWS's calls that the emulator makes go to itself, whoever started it and however.
for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "AWS_PROFILE"):
    os.environ.pop(variable, None)
os.environ.update({"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})

import moto.route53.models as route53
from moto.iam.access_control import IAMPolicy
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import FakeBucket
from werkzeug.serving import make_server

from aws import AWS
from missing import ClientVPN, Queries
from stacks import CloudFormation
from template import Refusal


class Region:
    def __init__(self, endpoint, name):
        self.stacks, self.vpn, self.queries = CloudFormation(AWS(endpoint, name), ACCOUNT), ClientVPN(), Queries()


class Front:
    """Answers what is ours and passes on the rest."""

    def __init__(self, endpoint, moto):
        self.endpoint, self.moto, self.regions = endpoint, moto, {}

    def region(self, name):
        if name not in self.regions:
            self.regions[name] = Region(self.endpoint, name)
        return self.regions[name]

    def __call__(self, environ, start):
        try:
            region, service = environ["HTTP_AUTHORIZATION"].split("Credential=")[1].split("/")[2:4]
        except (KeyError, IndexError):
            region, service = "", ""
        answer = None
        if service in ("cloudformation", "ec2", "logs"):
            raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = BytesIO(raw)
            answer = self.answer(self.region(region), service, environ, raw)
        if answer is None:
            return self.moto(environ, start)
        status, kind, text = answer
        body = text.encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    def answer(self, region, service, environ, raw):
        """The answer to a call that is ours; None for moto's."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if service == "logs":
            operation = target.split(".")[-1]
            if not operation.endswith(("QueryDefinition", "QueryDefinitions")):
                return None
            try:
                return "200 OK", "application/x-amz-json-1.1", json.dumps(region.queries(operation, json.loads(raw)))
            except Refusal as e:
                return "400 Bad Request", "application/x-amz-json-1.1", json.dumps({"__type": e.code, "message": str(e)})
        form = dict(urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True))
        action = form.pop("Action", "")
        if service == "ec2" and "ClientVpn" not in action:
            return None
        asked = tree(form)
        try:
            if service == "ec2":
                return "200 OK", "text/xml", f"<{action}Response><requestId>{action}</requestId>{xml(region.vpn(action, asked), 'item')}</{action}Response>"
            result = xml(region.stacks(action, asked), "member")
            return "200 OK", "text/xml", f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"
        except Refusal as e:
            status, code, message = "400 Bad Request", e.code, str(e)
        except Exception as e:
            traceback.print_exc()
            status, code, message = "400 Bad Request", "EmulatorFault", repr(e)
        error = xml({"Code": code, "Message": message}, "")
        if service == "ec2":
            return status, "text/xml", f"<Response><Errors><Error>{error}</Error></Errors><RequestID>{action}</RequestID></Response>"
        return status, "text/xml", f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>{action}</RequestId></ErrorResponse>"


def tree(form):
    """A form of the Query protocols as a structure: A.member.1.B and A.1.B are the B of the first in the list A."""
    out = {}
    for key, value in form.items():
        at = out
        *path, last = [p for p in key.split(".") if p != "member"]
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value

    def lists(x):
        if not isinstance(x, dict):
            return x
        if x and all(k.isdigit() for k in x):
            return [lists(x[k]) for k in sorted(x, key=int)]
        return {k: lists(v) for k, v in x.items()}

    return lists(out)


def xml(x, each):
    """A structure as XML; each is what the elements of a list are called."""
    if isinstance(x, dict):
        return "".join(f"<{k}>{xml(v, each)}</{k}>" for k, v in x.items())
    if isinstance(x, list):
        return "".join(f"<{each}>{xml(v, each)}</{each}>" for v in x)
    return escape(str(x).lower() if isinstance(x, bool) else str(x))


def unconditional(bucket, action, resource):
    """What a bucket's policy says without its conditions: moto takes one that does not hold for a refusal."""
    policy = json.loads(bucket.policy or '{"Statement": []}')
    policy["Statement"] = [s for s in policy["Statement"] if "Condition" not in s]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


def main(port):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # nothing about each request
    FakeBucket.get_permission = unconditional
    route53.create_route53_zone_id = lambda **_: "Z" + secrets.token_hex(10).upper()  # as AWS's ids begin, and moto's do not
    front = Front(f"http://127.0.0.1:{port}", DomainDispatcherApplication(create_backend_app))
    make_server("127.0.0.1", port, front, threaded=True).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))

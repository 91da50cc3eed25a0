"""The smallest Lambda runtime that Python allows, around the founding function's handler.

    loop.py FOLDER import|handler [EC2-URL]

FOLDER has founding.py. The client is made at import, once, or in the handler, for each event as the founders did. EC2-URL
is where EC2 answers without TLS; without it the client takes EC2's own address, by HTTPS_PROXY.
"""
import http.client
import json
import os
import sys

sys.path.insert(0, sys.argv[1])

import boto3
import founding

url = sys.argv[3] if len(sys.argv) > 3 else None


def make():
    return boto3.client("ec2", endpoint_url=url)


client = make() if sys.argv[2] == "import" else None
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    response = api.getresponse()
    event = json.loads(response.read())
    answer = founding.handler(client or make(), event["endpoint"], event["subnet"])
    path = "/2018-06-01/runtime/invocation/" + response.headers["Lambda-Runtime-Aws-Request-Id"] + "/response"
    api.request("POST", path, json.dumps(answer))
    api.getresponse().read()

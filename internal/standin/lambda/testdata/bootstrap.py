"""A Lambda runtime in a dozen lines, from the Runtime API's documentation alone."""
import json
import os
import urllib.request

base = "http://%s/2018-06-01/runtime/invocation/" % os.environ["AWS_LAMBDA_RUNTIME_API"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while True:
    with opener.open(base + "next") as got:
        event, request_id = json.load(got), got.headers["Lambda-Runtime-Aws-Request-Id"]
    print("python got", event)
    answer = json.dumps({"python": event, "handler": os.environ["_HANDLER"], "id": request_id}).encode()
    opener.open(urllib.request.Request(base + request_id + "/response", answer, {"Content-Type": "application/json"})).close()

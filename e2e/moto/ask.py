"""Asks AWS by boto3. Each line of standard input is a list of questions, [service, method, parameters]; a line is printed
with the answers in that order, where an error is {"error": code}.

    python3 ask.py ENDPOINT REGION"""
import json
import sys

import boto3
from botocore.exceptions import ClientError

endpoint, region = sys.argv[1:]
clients = {}
for line in sys.stdin:
    answers = []
    for service, method, parameters in json.loads(line):
        if service not in clients:
            clients[service] = boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id="somebody", aws_secret_access_key="somebody")
        try:
            answer = getattr(clients[service], method)(**parameters)
            answer.pop("ResponseMetadata")
            answers.append(answer)
        except ClientError as e:
            answers.append({"error": e.response["Error"]["Code"]})
    print(json.dumps(answers, default=str), flush=True)

"""The founding function's two calls, as its handler makes them, against the EC2 of demo.json.

    founding.py demo.json

Prints the handler's answer. The benchmark of bench/ takes the handler alone.
"""
import json
import sys

import boto3


def handler(ec2, endpoint, subnet):
    try:
        found = ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint])
        status = found["ClientVpnEndpoints"][0]["Status"]["Code"]
        if status != "pending-associate":
            return {"statusCode": 400, "status": status}
        made = ec2.associate_client_vpn_target_network(ClientVpnEndpointId=endpoint, SubnetId=subnet)
        return {"statusCode": 200, "status": made["Status"]["Code"], "association": made["AssociationId"]}
    except Exception as e:  # the founding function catches everything too
        return {"statusCode": 500, "error": str(e)}


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        demo = json.load(f)
    client = boto3.client("ec2", endpoint_url=demo["aws"]["endpoint_url"], region_name=demo["aws"]["region"],
                          aws_access_key_id=demo["aws"]["access_key_id"], aws_secret_access_key=demo["aws"]["secret_access_key"])
    print(json.dumps(handler(client, demo["endpoint_id"], demo["subnet_ids"][0])))

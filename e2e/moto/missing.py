"""Calls that moto has none of: EC2's about Client VPN, as far as a deployment looks at endpoints, and saved queries of
CloudWatch Logs. One Region's state each."""
import datetime
import secrets
import uuid

from template import Refusal


class ClientVPN:
    """Endpoints whose associations come and go at once: what takes its time on AWS is tested elsewhere."""

    def __init__(self):
        self.endpoints = {}

    def __call__(self, action, asked):
        match action:
            case "CreateClientVpnEndpoint":
                id = "cvpn-endpoint-" + secrets.token_hex(9)[1:]
                self.endpoints[id] = {"cidr": asked["ClientCidrBlock"], "vpc": asked.get("VpcId", ""), "networks": {}, "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
                return {"clientVpnEndpointId": id, "status": {"code": "pending-associate"}}
            case "DescribeClientVpnEndpoints":
                ids = asked.get("ClientVpnEndpointId", list(self.endpoints))
                return {"clientVpnEndpoint": [self.endpoint(id) for id in ids]}
            case "AssociateClientVpnTargetNetwork":
                networks = self.find(asked)["networks"]
                id = "cvpn-assoc-" + secrets.token_hex(9)[1:]
                networks[id] = asked["SubnetId"]
                return {"associationId": id, "status": {"code": "associating"}}
            case "DescribeClientVpnTargetNetworks":
                e = self.find(asked)
                return {"clientVpnTargetNetworks": [{"associationId": a, "vpcId": e["vpc"], "targetNetworkId": s, "clientVpnEndpointId": asked["ClientVpnEndpointId"], "status": {"code": "associated"}}
                                                    for a, s in e["networks"].items()]}
            case "DisassociateClientVpnTargetNetwork":
                if self.find(asked)["networks"].pop(asked["AssociationId"], None) is None:
                    raise Refusal(f"Association {asked['AssociationId']} does not exist", "InvalidClientVpnAssociationIdNotFound")
                return {"associationId": asked["AssociationId"], "status": {"code": "disassociating"}}
            case "DescribeClientVpnRoutes":
                self.find(asked)
                return {"routes": []}
            case "DescribeClientVpnConnections":
                self.find(asked)
                return {"connections": []}
        raise Refusal(f"{action} is not known here", "InvalidAction")

    def find(self, asked):
        id = asked["ClientVpnEndpointId"]
        if id not in self.endpoints:
            raise Refusal(f"Endpoint {id} does not exist", "InvalidClientVpnEndpointId.NotFound")
        return self.endpoints[id]

    def endpoint(self, id):
        e = self.find({"ClientVpnEndpointId": id})
        return {"clientVpnEndpointId": id, "status": {"code": "available" if e["networks"] else "pending-associate"}, "creationTime": e["made"], "clientCidrBlock": e["cidr"], "vpcId": e["vpc"],
                "splitTunnel": True, "vpnProtocol": "openvpn", "transportProtocol": "udp", "vpnPort": 443, "dnsName": f"*.{id}.prod.clientvpn.example.com"}


class Queries:
    """CloudWatch Logs' saved queries."""

    def __init__(self):
        self.saved = {}

    def __call__(self, operation, asked):
        match operation:
            case "PutQueryDefinition":
                id = asked.pop("queryDefinitionId", None) or str(uuid.uuid4())
                self.saved[id] = {"queryDefinitionId": id, **asked}
                return {"queryDefinitionId": id}
            case "DescribeQueryDefinitions":
                return {"queryDefinitions": [q for q in self.saved.values() if q["name"].startswith(asked.get("queryDefinitionNamePrefix", ""))]}
            case "DeleteQueryDefinition":
                return {"success": self.saved.pop(asked["queryDefinitionId"], None) is not None}
        raise Refusal(f"{operation} is not known here", "InvalidParameterException")

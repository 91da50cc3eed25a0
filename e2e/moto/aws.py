"""AWS's calls from inside the emulator: each goes to its own address, through boto3 and the service's own model."""
import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from template import Refusal


class AWS:
    """One Region's services."""

    def __init__(self, endpoint, region):
        self.endpoint, self.region, self.clients = endpoint, region, {}

    def client(self, service):
        if service not in self.clients:
            self.clients[service] = boto3.client(service, region_name=self.region, endpoint_url=self.endpoint, aws_access_key_id="emulator", aws_secret_access_key="emulator",
                                                 config=Config(retries={"total_max_attempts": 1}))
        return self.clients[service]

    def __call__(self, service, operation, **parameters):
        """Calls an operation by its name in the API. What it does not take is a Refusal: CloudFormation's properties are the
        API's parameters with few exceptions, and each of those is somebody's decision in resources.py."""
        client = self.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        method = next(m for m, o in client.meta.method_to_api_mapping.items() if o == operation)
        try:
            return getattr(client, method)(**fit(shape, parameters, f"{service} {operation}"))
        except ParamValidationError as e:
            raise Refusal(f"{service} {operation}: {e}") from e
        except ClientError as e:
            raise Refusal(f"{e.response['Error'].get('Message')} (Service: {service}, {operation}: {e.response['Error'].get('Code')})") from e


def fit(shape, value, where):
    """A template's value in the type that the API takes: CloudFormation too takes "true" for a boolean and 5 for a text."""
    match shape.type_name:
        case "structure":
            if shape.metadata.get("document"):
                return value
            if not isinstance(value, dict):
                raise Refusal(f"{where}: expected a structure, got {value!r}")
            out = {}
            for name, v in value.items():
                if name not in shape.members:
                    raise Refusal(f"{where}: extraneous key [{name}] is not permitted")
                out[name] = fit(shape.members[name], v, f"{where}.{name}")
            return out
        case "list":
            if not isinstance(value, list):
                raise Refusal(f"{where}: expected a list, got {value!r}")
            return [fit(shape.member, v, f"{where}[]") for v in value]
        case "map":
            return {str(k): fit(shape.value, v, f"{where}[{k}]") for k, v in value.items()}
        case "string":
            if isinstance(value, bool):
                return str(value).lower()
            if isinstance(value, (dict, list)):  # a policy
                return json.dumps(value)
            if shape.enum and str(value) not in shape.enum:
                raise Refusal(f"{where}: {value} is not a valid enum value")
            return str(value)
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            if isinstance(value, str) and value not in ("true", "false"):
                raise Refusal(f"{where}: {value!r} is no boolean")
            return value in (True, "true")
    return value

"""The resource types, each made, changed and deleted by the calls that CloudFormation makes for it.

A property that a type's calls do not take is refused, and so is a change that no call of it makes. Which changes replace a
resource, and which attributes it has, is from the type's page in the CloudFormation Template Reference."""
import secrets

from template import Refusal

TYPES = {}


class Resource:
    """One type. Properties are resolved; physical is what Ref gives."""

    attributes = ()  # for Fn::GetAtt
    anew = ()  # properties whose change replaces the resource

    def __init_subclass__(cls, name):
        TYPES[name] = cls

    def __init__(self, aws, account, stack, logical, properties, physical="", attributes=None):
        self.aws, self.account, self.stack, self.logical, self.p = aws, account, stack, logical, properties
        self.physical, self.has = physical, attributes or {}

    def named(self, most=64):
        """A name as CloudFormation makes one for what is not named: the stack's, the logical id and chance."""
        return f"{self.stack}-{self.logical}"[: most - 13] + "-" + secrets.token_hex(6).upper()

    def rest(self, *taken):
        return {k: v for k, v in self.p.items() if k not in taken}

    def make(self):
        """Makes it, and returns its physical id and its attributes."""
        raise NotImplementedError

    def change(self, was):
        """Changes it from the properties was to what they are now."""
        raise Refusal(f"{sorted(k for k in {**was, **self.p} if was.get(k) != self.p.get(k))} cannot be changed here")

    def drop(self):
        raise NotImplementedError


class Certificate(Resource, name="AWS::CertificateManager::Certificate"):
    anew = ("DomainName", "ValidationMethod", "DomainValidationOptions")

    def make(self):
        arn = self.aws("acm", "RequestCertificate", **self.rest("DomainValidationOptions"))["CertificateArn"]
        zones = {o["DomainName"]: o["HostedZoneId"] for o in self.p["DomainValidationOptions"]}
        for o in self.aws("acm", "DescribeCertificate", CertificateArn=arn)["Certificate"]["DomainValidationOptions"]:
            record = o["ResourceRecord"]
            record_set(self.aws, "UPSERT", zones[o["DomainName"]], Name=record["Name"], Type=record["Type"], TTL=300, ResourceRecords=[{"Value": record["Value"]}])
        status = self.aws("acm", "DescribeCertificate", CertificateArn=arn)["Certificate"]["Status"]
        if status != "ISSUED":
            raise Refusal(f"{arn} is {status}")
        return arn, {}

    def drop(self):
        self.aws("acm", "DeleteCertificate", CertificateArn=self.physical)


def record_set(aws, action, zone, **record):
    change = {"Action": action, "ResourceRecordSet": record}
    aws("route53", "ChangeResourceRecordSets", HostedZoneId=zone, ChangeBatch={"Changes": [change]})


class RecordSet(Resource, name="AWS::Route53::RecordSet"):
    anew = ("HostedZoneId", "Name")

    def make(self):
        record_set(self.aws, "CREATE", self.p["HostedZoneId"], **self.rest("HostedZoneId"))
        return self.p["Name"], {}

    def change(self, was):
        record_set(self.aws, "UPSERT", self.p["HostedZoneId"], **self.rest("HostedZoneId"))

    def drop(self):
        record_set(self.aws, "DELETE", self.p["HostedZoneId"], **self.rest("HostedZoneId"))


class Table(Resource, name="AWS::DynamoDB::Table"):
    attributes = ("Arn",)
    anew = ("TableName", "KeySchema")

    def make(self):
        apart = ("TableName", "TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification")
        name = self.p.get("TableName") or self.named()
        arn = self.aws("dynamodb", "CreateTable", TableName=name, SSESpecification={"Enabled": self.p["SSESpecification"]["SSEEnabled"]}, **self.rest(*apart))["TableDescription"]["TableArn"]
        self.aws("dynamodb", "UpdateTimeToLive", TableName=name, TimeToLiveSpecification=self.p["TimeToLiveSpecification"])
        self.aws("dynamodb", "UpdateContinuousBackups", TableName=name, PointInTimeRecoverySpecification=self.p["PointInTimeRecoverySpecification"])
        return name, {"Arn": arn}

    def drop(self):
        self.aws("dynamodb", "DeleteTable", TableName=self.physical)


class LogGroup(Resource, name="AWS::Logs::LogGroup"):
    attributes = ("Arn",)
    anew = ("LogGroupName",)

    def make(self):
        name = self.p["LogGroupName"]
        self.aws("logs", "CreateLogGroup", logGroupName=name)
        self.change({})
        return name, {"Arn": f"arn:aws:logs:{self.aws.region}:{self.account}:log-group:{name}:*"}

    def change(self, was):
        self.rest_is("LogGroupName", "RetentionInDays")
        self.aws("logs", "PutRetentionPolicy", logGroupName=self.p["LogGroupName"], retentionInDays=self.p["RetentionInDays"])

    def rest_is(self, *taken):
        if self.rest(*taken):
            raise Refusal(f"extraneous key {sorted(self.rest(*taken))} is not permitted")

    def drop(self):
        self.aws("logs", "DeleteLogGroup", logGroupName=self.physical)


class QueryDefinition(Resource, name="AWS::Logs::QueryDefinition"):
    attributes = ("QueryDefinitionId",)

    def make(self):
        self.physical = self.put()
        return self.physical, {"QueryDefinitionId": self.physical}

    def put(self, **more):
        properties = {k[0].lower() + k[1:]: v for k, v in self.p.items()}
        return self.aws("logs", "PutQueryDefinition", **properties, **more)["queryDefinitionId"]

    def change(self, was):
        self.put(queryDefinitionId=self.physical)

    def drop(self):
        self.aws("logs", "DeleteQueryDefinition", queryDefinitionId=self.physical)


class Alarm(Resource, name="AWS::CloudWatch::Alarm"):
    attributes = ("Arn",)
    anew = ("AlarmName",)

    def make(self):
        name = self.p.get("AlarmName") or self.named(255)
        self.aws("cloudwatch", "PutMetricAlarm", **{**self.p, "AlarmName": name})
        return name, {"Arn": f"arn:aws:cloudwatch:{self.aws.region}:{self.account}:alarm:{name}"}

    def change(self, was):
        self.aws("cloudwatch", "PutMetricAlarm", **{**self.p, "AlarmName": self.physical})

    def drop(self):
        self.aws("cloudwatch", "DeleteAlarms", AlarmNames=[self.physical])


class Dashboard(Resource, name="AWS::CloudWatch::Dashboard"):
    anew = ("DashboardName",)

    def make(self):
        self.change({})
        return self.p["DashboardName"], {}

    def change(self, was):
        self.aws("cloudwatch", "PutDashboard", **self.p)

    def drop(self):
        self.aws("cloudwatch", "DeleteDashboards", DashboardNames=[self.physical])


class Queue(Resource, name="AWS::SQS::Queue"):
    attributes = ("Arn", "QueueName", "QueueUrl")
    anew = ("QueueName",)

    def make(self):
        url = self.aws("sqs", "CreateQueue", QueueName=self.p.get("QueueName") or self.named(80), Attributes=self.rest("QueueName"))["QueueUrl"]
        arn = self.aws("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, {"Arn": arn, "QueueName": arn.split(":")[-1], "QueueUrl": url}

    def drop(self):
        self.aws("sqs", "DeleteQueue", QueueUrl=self.physical)


class QueuePolicy(Resource, name="AWS::SQS::QueuePolicy"):
    def make(self):
        self.change({})
        return self.named(), {}

    def change(self, was):
        for url in self.p["Queues"]:
            self.aws("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": self.p["PolicyDocument"]})

    def drop(self):
        for url in self.p["Queues"]:
            self.aws("sqs", "SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})


class Role(Resource, name="AWS::IAM::Role"):
    attributes = ("Arn", "RoleId")
    anew = ("RoleName", "Path")

    def make(self):
        name = self.p.get("RoleName") or self.named()
        role = self.aws("iam", "CreateRole", **{**self.rest("Policies"), "RoleName": name})["Role"]
        self.physical = name
        self.put()
        return name, {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def put(self):
        for policy in self.p.get("Policies", []):
            self.aws("iam", "PutRolePolicy", RoleName=self.physical, **policy)

    def change(self, was):
        if {k: v for k, v in was.items() if k != "Policies"} != self.rest("Policies"):
            super().change(was)
        for name in {p["PolicyName"] for p in was["Policies"]} - {p["PolicyName"] for p in self.p["Policies"]}:
            self.aws("iam", "DeleteRolePolicy", RoleName=self.physical, PolicyName=name)
        self.put()

    def drop(self):
        for policy in self.p.get("Policies", []):
            self.aws("iam", "DeleteRolePolicy", RoleName=self.physical, PolicyName=policy["PolicyName"])
        self.aws("iam", "DeleteRole", RoleName=self.physical)


class Function(Resource, name="AWS::Lambda::Function"):
    attributes = ("Arn",)
    anew = ("FunctionName", "PackageType")
    apart = ("Code", "Architectures", "ReservedConcurrentExecutions")

    def make(self):
        name = self.p.get("FunctionName") or self.named()
        # Lambda takes the program when it is told of it; the emulator is content with an address.
        self.aws("s3", "HeadObject", Bucket=self.p["Code"]["S3Bucket"], Key=self.p["Code"]["S3Key"])
        arn = self.aws("lambda", "CreateFunction", **{**self.rest("ReservedConcurrentExecutions"), "FunctionName": name})["FunctionArn"]
        self.physical = name
        self.concurrency({})
        return name, {"Arn": arn}

    def concurrency(self, was):
        if "ReservedConcurrentExecutions" in self.p:
            self.aws("lambda", "PutFunctionConcurrency", FunctionName=self.physical, ReservedConcurrentExecutions=self.p["ReservedConcurrentExecutions"])
        elif "ReservedConcurrentExecutions" in was:
            self.aws("lambda", "DeleteFunctionConcurrency", FunctionName=self.physical)

    def change(self, was):
        if any(was[k] != self.p[k] for k in ("Code", "Architectures")):
            self.aws("lambda", "UpdateFunctionCode", FunctionName=self.physical, Architectures=self.p["Architectures"], **self.p["Code"])
        self.aws("lambda", "UpdateFunctionConfiguration", FunctionName=self.physical, **self.rest(*self.apart))
        self.concurrency(was)

    def drop(self):
        self.aws("lambda", "DeleteFunction", FunctionName=self.physical)


class EventInvokeConfig(Resource, name="AWS::Lambda::EventInvokeConfig"):
    anew = ("FunctionName", "Qualifier")

    def make(self):
        self.change({})
        return f"{self.p['FunctionName']}|{self.p['Qualifier']}", {}

    def change(self, was):
        self.aws("lambda", "PutFunctionEventInvokeConfig", **self.p)

    def drop(self):
        self.aws("lambda", "DeleteFunctionEventInvokeConfig", FunctionName=self.p["FunctionName"], Qualifier=self.p["Qualifier"])


class Permission(Resource, name="AWS::Lambda::Permission"):
    anew = ("FunctionName", "Action", "Principal", "SourceAccount", "SourceArn")

    def make(self):
        name = self.named()
        self.aws("lambda", "AddPermission", StatementId=name, **self.p)
        return name, {}

    def drop(self):
        self.aws("lambda", "RemovePermission", FunctionName=self.p["FunctionName"], StatementId=self.physical)


class ScheduleGroup(Resource, name="AWS::Scheduler::ScheduleGroup"):
    attributes = ("Arn",)
    anew = ("Name",)

    def make(self):
        return self.p["Name"], {"Arn": self.aws("scheduler", "CreateScheduleGroup", **self.p)["ScheduleGroupArn"]}

    def drop(self):
        self.aws("scheduler", "DeleteScheduleGroup", Name=self.physical)


class Schedule(Resource, name="AWS::Scheduler::Schedule"):
    attributes = ("Arn",)
    anew = ("Name", "GroupName")

    def make(self):
        return self.p["Name"], {"Arn": self.aws("scheduler", "CreateSchedule", **self.p)["ScheduleArn"]}

    def change(self, was):
        self.aws("scheduler", "UpdateSchedule", **self.p)

    def drop(self):
        self.aws("scheduler", "DeleteSchedule", Name=self.physical, GroupName=self.p["GroupName"])


class UserPool(Resource, name="AWS::Cognito::UserPool"):
    attributes = ("Arn", "UserPoolId", "ProviderName", "ProviderURL")

    def make(self):
        pool = self.aws("cognito-idp", "CreateUserPool", PoolName=self.p["UserPoolName"], **self.rest("UserPoolName"))["UserPool"]
        issuer = f"cognito-idp.{self.aws.region}.amazonaws.com/{pool['Id']}"
        return pool["Id"], {"Arn": pool["Arn"], "UserPoolId": pool["Id"], "ProviderName": issuer, "ProviderURL": "https://" + issuer}

    def drop(self):
        self.aws("cognito-idp", "DeleteUserPool", UserPoolId=self.physical)


class UserPoolDomain(Resource, name="AWS::Cognito::UserPoolDomain"):
    anew = ("Domain", "UserPoolId")

    def make(self):
        self.aws("cognito-idp", "CreateUserPoolDomain", **self.p)
        return self.p["Domain"], {}

    def drop(self):
        self.aws("cognito-idp", "DeleteUserPoolDomain", Domain=self.physical, UserPoolId=self.p["UserPoolId"])


class IdentityProvider(Resource, name="AWS::Cognito::UserPoolIdentityProvider"):
    anew = ("UserPoolId", "ProviderName", "ProviderType")

    def make(self):
        self.aws("cognito-idp", "CreateIdentityProvider", **self.p)
        return self.p["ProviderName"], {}

    def change(self, was):
        self.aws("cognito-idp", "UpdateIdentityProvider", **self.rest("ProviderType"))

    def drop(self):
        self.aws("cognito-idp", "DeleteIdentityProvider", UserPoolId=self.p["UserPoolId"], ProviderName=self.physical)


class UserPoolClient(Resource, name="AWS::Cognito::UserPoolClient"):
    attributes = ("ClientId", "ClientSecret", "Name")
    anew = ("UserPoolId", "GenerateSecret")

    def make(self):
        # Cognito refuses a provider that the pool does not have; the emulator would take it.
        have = {p["ProviderName"] for p in self.aws("cognito-idp", "ListIdentityProviders", UserPoolId=self.p["UserPoolId"])["Providers"]} | {"COGNITO"}
        if unknown := set(self.p["SupportedIdentityProviders"]) - have:
            raise Refusal(f"The provider {', '.join(sorted(unknown))} does not exist for User Pool {self.p['UserPoolId']}")
        client = self.aws("cognito-idp", "CreateUserPoolClient", **self.p)["UserPoolClient"]
        has = {"ClientId": client["ClientId"], "Name": self.p["ClientName"]}
        if "ClientSecret" in client:
            has["ClientSecret"] = client["ClientSecret"]
        return client["ClientId"], has

    def change(self, was):
        self.aws("cognito-idp", "UpdateUserPoolClient", ClientId=self.physical, **self.rest("GenerateSecret"))

    def drop(self):
        self.aws("cognito-idp", "DeleteUserPoolClient", UserPoolId=self.p["UserPoolId"], ClientId=self.physical)


class SecurityGroup(Resource, name="AWS::EC2::SecurityGroup"):
    attributes = ("GroupId", "VpcId")
    anew = ("GroupName", "GroupDescription", "VpcId")

    def make(self):
        id = self.aws("ec2", "CreateSecurityGroup", GroupName=self.named(), Description=self.p["GroupDescription"], **self.rest("GroupDescription", "SecurityGroupIngress", "SecurityGroupEgress"))["GroupId"]
        self.aws("ec2", "AuthorizeSecurityGroupIngress", GroupId=id, IpPermissions=[permission(r) for r in self.p["SecurityGroupIngress"]])
        # Rules of one's own take the place of the one that lets everything out.
        self.aws("ec2", "RevokeSecurityGroupEgress", GroupId=id, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
        self.aws("ec2", "AuthorizeSecurityGroupEgress", GroupId=id, IpPermissions=[permission(r) for r in self.p["SecurityGroupEgress"]])
        return id, {"GroupId": id, "VpcId": self.p["VpcId"]}

    def drop(self):
        self.aws("ec2", "DeleteSecurityGroup", GroupId=self.physical)


def permission(rule):
    """A rule of a template as EC2 takes it, which may have several blocks for one range of ports."""
    out = {k: v for k, v in rule.items() if k not in ("CidrIp", "CidrIpv6", "Description")}
    for cidr, ranges in (("CidrIp", "IpRanges"), ("CidrIpv6", "Ipv6Ranges")):
        if cidr in rule:
            out[ranges] = [{k: v for k, v in rule.items() if k in (cidr, "Description")}]
    return out


class LoadBalancer(Resource, name="AWS::ElasticLoadBalancingV2::LoadBalancer"):
    attributes = ("DNSName", "CanonicalHostedZoneID", "LoadBalancerFullName", "LoadBalancerName", "LoadBalancerArn")
    anew = ("Name", "Scheme", "Type")

    def make(self):
        wish = self.rest("LoadBalancerAttributes")
        wish.setdefault("Name", self.named(32))
        b = self.aws("elbv2", "CreateLoadBalancer", **wish)["LoadBalancers"][0]
        arn = b["LoadBalancerArn"]
        self.aws("elbv2", "ModifyLoadBalancerAttributes", LoadBalancerArn=arn, Attributes=self.p["LoadBalancerAttributes"])
        return arn, {"DNSName": b["DNSName"], "CanonicalHostedZoneID": b["CanonicalHostedZoneId"], "LoadBalancerFullName": arn.split(":loadbalancer/")[1],
                     "LoadBalancerName": b["LoadBalancerName"], "LoadBalancerArn": arn}

    def change(self, was):
        if {k: v for k, v in was.items() if k != "LoadBalancerAttributes"} != self.rest("LoadBalancerAttributes"):
            super().change(was)
        self.aws("elbv2", "ModifyLoadBalancerAttributes", LoadBalancerArn=self.physical, Attributes=self.p["LoadBalancerAttributes"])

    def drop(self):
        self.aws("elbv2", "DeleteLoadBalancer", LoadBalancerArn=self.physical)


class TargetGroup(Resource, name="AWS::ElasticLoadBalancingV2::TargetGroup"):
    attributes = ("TargetGroupArn", "TargetGroupFullName")
    anew = ("Name", "TargetType")

    def make(self):
        arn = self.aws("elbv2", "CreateTargetGroup", **self.rest("Targets", "TargetGroupAttributes"))["TargetGroups"][0]["TargetGroupArn"]
        self.aws("elbv2", "ModifyTargetGroupAttributes", TargetGroupArn=arn, Attributes=self.p["TargetGroupAttributes"])
        for target in self.p["Targets"]:
            # Elastic Load Balancing asks the function's policy before it registers it.
            self.may_invoke(target["Id"], arn)
        self.aws("elbv2", "RegisterTargets", TargetGroupArn=arn, Targets=self.p["Targets"])
        return arn, {"TargetGroupArn": arn, "TargetGroupFullName": "targetgroup/" + arn.split(":targetgroup/")[1]}

    def may_invoke(self, function, arn):
        policy = self.aws("lambda", "GetPolicy", FunctionName=function)["Policy"]
        source = arn.rsplit("/", 1)[0] + "/*"
        if source not in policy or "elasticloadbalancing.amazonaws.com" not in policy:
            raise Refusal(f"elasticloadbalancing principal does not have permission to invoke {function} from target group {arn}")

    def drop(self):
        self.aws("elbv2", "DeleteTargetGroup", TargetGroupArn=self.physical)


class Listener(Resource, name="AWS::ElasticLoadBalancingV2::Listener"):
    attributes = ("ListenerArn",)
    anew = ("LoadBalancerArn",)

    def make(self):
        arn = self.aws("elbv2", "CreateListener", **self.p)["Listeners"][0]["ListenerArn"]
        return arn, {"ListenerArn": arn}

    def change(self, was):
        self.aws("elbv2", "ModifyListener", ListenerArn=self.physical, **self.rest("LoadBalancerArn"))

    def drop(self):
        self.aws("elbv2", "DeleteListener", ListenerArn=self.physical)


class ListenerCertificate(Resource, name="AWS::ElasticLoadBalancingV2::ListenerCertificate"):
    anew = ("ListenerArn", "Certificates")

    def make(self):
        self.aws("elbv2", "AddListenerCertificates", **self.p)
        return self.named(), {}

    def drop(self):
        self.aws("elbv2", "RemoveListenerCertificates", **self.p)


class ListenerRule(Resource, name="AWS::ElasticLoadBalancingV2::ListenerRule"):
    attributes = ("RuleArn",)
    anew = ("ListenerArn",)

    def make(self):
        arn = self.aws("elbv2", "CreateRule", **self.p)["Rules"][0]["RuleArn"]
        return arn, {"RuleArn": arn}

    def change(self, was):
        if was["Priority"] != self.p["Priority"]:
            self.aws("elbv2", "SetRulePriorities", RulePriorities=[{"RuleArn": self.physical, "Priority": self.p["Priority"]}])
        self.aws("elbv2", "ModifyRule", RuleArn=self.physical, Conditions=self.p["Conditions"], Actions=self.p["Actions"])

    def drop(self):
        self.aws("elbv2", "DeleteRule", RuleArn=self.physical)


class Api(Resource, name="AWS::ApiGatewayV2::Api"):
    attributes = ("ApiId", "ApiEndpoint")
    anew = ("ProtocolType",)

    def make(self):
        api = self.aws("apigatewayv2", "CreateApi", **self.p)
        return api["ApiId"], {"ApiId": api["ApiId"], "ApiEndpoint": api["ApiEndpoint"]}

    def drop(self):
        self.aws("apigatewayv2", "DeleteApi", ApiId=self.physical)


class Integration(Resource, name="AWS::ApiGatewayV2::Integration"):
    anew = ("ApiId",)

    def make(self):
        return self.aws("apigatewayv2", "CreateIntegration", **self.p)["IntegrationId"], {}

    def drop(self):
        self.aws("apigatewayv2", "DeleteIntegration", ApiId=self.p["ApiId"], IntegrationId=self.physical)


class Route(Resource, name="AWS::ApiGatewayV2::Route"):
    anew = ("ApiId",)

    def make(self):
        return self.aws("apigatewayv2", "CreateRoute", **self.p)["RouteId"], {}

    def drop(self):
        self.aws("apigatewayv2", "DeleteRoute", ApiId=self.p["ApiId"], RouteId=self.physical)


class Stage(Resource, name="AWS::ApiGatewayV2::Stage"):
    anew = ("ApiId", "StageName")

    def make(self):
        self.aws("apigatewayv2", "CreateStage", **self.p)
        return self.p["StageName"], {}

    def drop(self):
        self.aws("apigatewayv2", "DeleteStage", ApiId=self.p["ApiId"], StageName=self.physical)


class DomainName(Resource, name="AWS::ApiGatewayV2::DomainName"):
    attributes = ("RegionalDomainName", "RegionalHostedZoneId")
    anew = ("DomainName",)

    def make(self):
        self.aws("apigatewayv2", "CreateDomainName", **self.p)
        # The emulator gives no address for the alias; on AWS it is of this form, in a zone of API Gateway's own.
        return self.p["DomainName"], {"RegionalDomainName": f"d-emulated.execute-api.{self.aws.region}.amazonaws.com", "RegionalHostedZoneId": "ZEMULATED00000"}

    def drop(self):
        self.aws("apigatewayv2", "DeleteDomainName", DomainName=self.physical)


class ApiMapping(Resource, name="AWS::ApiGatewayV2::ApiMapping"):
    anew = ("ApiId", "DomainName")

    def make(self):
        return self.aws("apigatewayv2", "CreateApiMapping", **self.p)["ApiMappingId"], {}

    def drop(self):
        self.aws("apigatewayv2", "DeleteApiMapping", DomainName=self.p["DomainName"], ApiMappingId=self.physical)

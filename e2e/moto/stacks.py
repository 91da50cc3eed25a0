"""CloudFormation: change sets and stacks over resources.py.

It makes, changes and deletes in order, one resource after the other, and takes back what failed. An operation runs by
itself, as on AWS, and is followed by its events. One Region's stacks; nothing is kept when the process ends."""
import datetime
import threading
import traceback
import uuid

from resources import TYPES
from template import Refusal, Scope, Template

EVENTS = 50  # of them on a page


def now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Stack:
    def __init__(self, name, region, account):
        self.name, self.id = name, f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
        self.status, self.reason, self.created, self.updated, self.protected = "REVIEW_IN_PROGRESS", "", now(), "", False
        self.template, self.body, self.values, self.tags, self.outputs = None, "", {}, [], []
        self.made = {}  # logical id → Resource, in the order of making
        self.events, self.sets = [], {}

    def tell(self, status, reason="", resource=None):
        """An event of a resource, or of the stack, whose status it then is."""
        kind, logical, physical = "AWS::CloudFormation::Stack", self.name, self.id
        if resource is not None:
            kind, logical, physical = self.kind(resource), resource.logical, resource.physical
        self.events.append({"StackId": self.id, "EventId": str(uuid.uuid4()), "StackName": self.name, "LogicalResourceId": logical, "PhysicalResourceId": physical,
                            "ResourceType": kind, "Timestamp": now(), "ResourceStatus": status, **({"ResourceStatusReason": reason} if reason else {})})
        if resource is None:
            self.status, self.reason = status, reason

    @staticmethod
    def kind(resource):
        return next(name for name, cls in TYPES.items() if cls is type(resource))


class ChangeSet:
    def __init__(self, name, stack, region, account, asked):
        self.name, self.id = name, f"arn:aws:cloudformation:{region}:{account}:changeSet/{name}/{uuid.uuid4()}"
        self.stack, self.create, self.body, self.tags = stack, asked.get("ChangeSetType", "UPDATE") == "CREATE", asked["TemplateBody"], asked.get("Tags", [])
        self.created, self.status, self.reason, self.execution, self.changes = now(), "CREATE_COMPLETE", "", "AVAILABLE", []


class CloudFormation:
    def __init__(self, aws, account):
        self.aws, self.account, self.stacks = aws, account, []
        self.lock = threading.Lock()  # guards whether an operation may begin

    def __call__(self, action, asked):
        """Answers one call of the Query API."""
        method = getattr(self, action, None)
        if action[:1].islower() or method is None:
            raise Refusal(f"{action} is not known here", "InvalidAction")
        return method(asked)

    # -- the calls

    def CreateChangeSet(self, asked):
        create = asked.get("ChangeSetType", "UPDATE") == "CREATE"
        stack = self.find(asked["StackName"], missing=None)
        if create and stack and stack.status != "REVIEW_IN_PROGRESS":
            raise Refusal(f"Stack [{stack.name}] already exists and cannot be created again with the changeSet [{asked['ChangeSetName']}].")
        if not create and not stack:
            raise Refusal(f"Stack [{asked['StackName']}] does not exist")
        if "TemplateBody" not in asked:
            raise Refusal("only TemplateBody is known here")
        template = Template(asked["TemplateBody"])
        roles = sorted(n for n, r in template.resources.items() if r["Type"].startswith("AWS::IAM::"))
        if roles and not {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} & set(asked.get("Capabilities", [])):
            raise Refusal("Requires capabilities : [CAPABILITY_IAM]", "InsufficientCapabilitiesException")
        given = {}
        for p in asked.get("Parameters", []):
            if p.get("UsePreviousValue") != "true":
                given[p["ParameterKey"]] = p.get("ParameterValue", "")
            elif stack is None or p["ParameterKey"] not in stack.values:
                raise Refusal(f"Invalid input for parameter key {p['ParameterKey']}. Cannot specify usePreviousValue as true for a parameter key not in the previous template")
            else:
                given[p["ParameterKey"]] = stack.values[p["ParameterKey"]]
        values = template.values(given)
        if stack is None:
            stack = Stack(asked["StackName"], self.aws.region, self.account)
            stack.tell("REVIEW_IN_PROGRESS", "User Initiated")
        change = ChangeSet(asked["ChangeSetName"], stack, self.aws.region, self.account, asked)
        change.template, change.values = template, values
        change.changes, outputs = self.foresee(stack, template, values)
        if stack not in self.stacks:
            self.stacks.append(stack)
        if not create and not change.changes and outputs == stack.outputs:
            change.status, change.execution = "FAILED", "UNAVAILABLE"
            change.reason = "The submitted information didn't contain changes. Submit different information to create a change set."
        stack.sets[change.id] = change
        return {"Id": change.id, "StackId": stack.id}

    def DescribeChangeSet(self, asked):
        c = self.change(asked)
        return {"ChangeSetName": c.name, "ChangeSetId": c.id, "StackId": c.stack.id, "StackName": c.stack.name, "CreationTime": c.created, "ExecutionStatus": c.execution, "Status": c.status,
                "StatusReason": c.reason, "Changes": [{"Type": "Resource", "ResourceChange": x} for x in c.changes]}

    def ListChangeSets(self, asked):
        return {"Summaries": [{"ChangeSetId": c.id, "ChangeSetName": c.name, "StackId": c.stack.id, "Status": c.status, "ExecutionStatus": c.execution}
                              for c in self.find(asked["StackName"]).sets.values()]}

    def DeleteChangeSet(self, asked):
        c = self.change(asked)
        del c.stack.sets[c.id]
        return {}

    def ExecuteChangeSet(self, asked):
        c = self.change(asked)
        with self.lock:
            if c.execution != "AVAILABLE":
                raise Refusal(f"ChangeSet [{c.id}] cannot be executed in its current status of [{c.status}]", "InvalidChangeSetStatus")
            c.stack.sets.clear()  # what was worked out before is of no use after
            self.begin(c.stack, "CREATE" if c.create else "UPDATE")
        c.stack.tags = c.tags
        threading.Thread(target=self.guarded, args=(c.stack, self.apply, c)).start()
        return {}

    def DescribeStacks(self, asked):
        stacks = [self.find(asked["StackName"])] if "StackName" in asked else [s for s in self.stacks if s.status != "DELETE_COMPLETE"]
        return {"Stacks": [{"StackId": s.id, "StackName": s.name, "CreationTime": s.created, "StackStatus": s.status, "EnableTerminationProtection": s.protected, "DisableRollback": False,
                            **({"StackStatusReason": s.reason} if s.reason else {}), **({"LastUpdatedTime": s.updated} if s.updated else {}), "Tags": s.tags, "Outputs": s.outputs,
                            "Parameters": [{"ParameterKey": k, "ParameterValue": "****" if s.template.parameters[k].get("NoEcho") else v} for k, v in s.values.items()]} for s in stacks]}

    def DescribeStackEvents(self, asked):
        events = self.find(asked["StackName"]).events[::-1]
        at = int(asked.get("NextToken", 0))
        return {"StackEvents": events[at:at + EVENTS], **({"NextToken": at + EVENTS} if at + EVENTS < len(events) else {})}

    def ListStackResources(self, asked):
        s = self.find(asked["StackName"])
        return {"StackResourceSummaries": [{"LogicalResourceId": n, "PhysicalResourceId": r.physical, "ResourceType": s.kind(r), "LastUpdatedTimestamp": s.updated or s.created,
                                            "ResourceStatus": "CREATE_COMPLETE"} for n, r in s.made.items()]}

    def GetTemplate(self, asked):
        return {"TemplateBody": self.find(asked["StackName"]).body, "StagesAvailable": ["Original"]}

    def UpdateTerminationProtection(self, asked):
        s = self.find(asked["StackName"])
        s.protected = asked["EnableTerminationProtection"] == "true"
        return {"StackId": s.id}

    def DeleteStack(self, asked):
        s = self.find(asked["StackName"], missing=None)
        if s is None or s.status == "DELETE_COMPLETE":
            return {}
        if s.protected:
            raise Refusal(f"Stack [{s.name}] cannot be deleted while TerminationProtection is enabled")
        with self.lock:
            self.begin(s, "DELETE")
        threading.Thread(target=self.guarded, args=(s, self.delete)).start()
        return {}

    # -- what they do

    def find(self, name, missing=Refusal):
        for s in self.stacks:
            if s.id == name or s.name == name and s.status != "DELETE_COMPLETE":
                return s
        if missing is None:
            return None
        raise Refusal(f"Stack with id {name} does not exist")

    def change(self, asked):
        for s in self.stacks:
            for c in s.sets.values():
                if c.id == asked["ChangeSetName"] or c.name == asked["ChangeSetName"] and asked.get("StackName") in (s.name, s.id):
                    return c
        raise Refusal(f"ChangeSet [{asked['ChangeSetName']}] does not exist", "ChangeSetNotFound")

    def begin(self, stack, verb):
        if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            raise Refusal(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        stack.updated = now() if verb == "UPDATE" else stack.updated
        stack.tell(verb + "_IN_PROGRESS", "User Initiated")

    def guarded(self, stack, do, *args):
        try:
            do(stack, *args)
        except Exception as e:
            traceback.print_exc()
            stack.tell(stack.status.split("_")[0] + "_FAILED", f"the emulator has a fault: {e!r}")

    def scope(self, stack, template, values, live):
        pseudo = {"AWS::AccountId": self.account, "AWS::Partition": "aws", "AWS::Region": self.aws.region, "AWS::StackId": stack.id, "AWS::StackName": stack.name, "AWS::URLSuffix": "amazonaws.com"}
        return Scope(template, pseudo, values, live)

    def wanted(self, template, scope):
        """The resources that are to be there, in order, each as soon as what it names is in scope."""
        for name in template.order():
            r = template.resources[name]
            if not scope.wanted(r):
                continue
            if r["Type"] not in TYPES:
                raise Refusal(f"Template format error: Unrecognized resource types: [{r['Type']}]")
            yield name, TYPES[r["Type"]], scope.resolve(r.get("Properties", {}))

    def outputs(self, template, scope):
        return [{"OutputKey": n, "OutputValue": scope.resolve(o["Value"]), **({"Description": o["Description"]} if "Description" in o else {})}
                for n, o in template.outputs.items() if scope.wanted(o)]

    def foresee(self, stack, template, values):
        """What a change would do, and the outputs after it, with names for what is not known before."""
        live, changes, there = {}, [], set()
        scope = self.scope(stack, template, values, live)
        for name, kind, properties in self.wanted(template, scope):
            there.add(name)
            have = stack.made.get(name)
            said = {"LogicalResourceId": name, "ResourceType": template.resources[name]["Type"]}
            live[name] = (f"<{name}>", {a: f"<{name}.{a}>" for a in kind.attributes})
            if have is None:
                changes.append({"Action": "Add", **said})
                continue
            different = sorted(k for k in {**have.p, **properties} if have.p.get(k) != properties.get(k))
            replaced = type(have) is not kind or bool(set(different) & set(kind.anew))
            if not replaced:
                live[name] = (have.physical, have.has)
            if different:
                changes.append({"Action": "Modify", **said, "PhysicalResourceId": have.physical, "Replacement": str(replaced), "Scope": ["Properties"], "Details": [
                    {"Target": {"Attribute": "Properties", "Name": k, "RequiresRecreation": "Always" if k in kind.anew else "Never"}, "Evaluation": "Static", "ChangeSource": "DirectModification"}
                    for k in different]})
        for name, have in stack.made.items():
            if name not in there:
                changes.append({"Action": "Remove", "LogicalResourceId": name, "ResourceType": stack.kind(have), "PhysicalResourceId": have.physical, **self.kept(stack, name, "DeletionPolicy")})
        return changes, self.outputs(template, scope)

    @staticmethod
    def kept(stack, name, attribute):
        return {"PolicyAction": "Retain" if stack.template.resources[name].get(attribute, "Delete").startswith("Retain") else "Delete"}

    def apply(self, stack, c):
        before = stack.template, stack.body, stack.values
        try:
            self.converge(stack, c.template, c.values)
        except Refusal as e:
            if c.create:
                stack.tell("ROLLBACK_IN_PROGRESS", str(e))
                stack.template, stack.body, stack.values = c.template, c.body, c.values
                self.take_down(stack, {"Retain"})
                stack.tell("ROLLBACK_COMPLETE")
                return
            stack.tell("UPDATE_ROLLBACK_IN_PROGRESS", str(e))
            try:
                self.converge(stack, before[0], before[2])
                stack.tell("UPDATE_ROLLBACK_COMPLETE")
            except Refusal as again:
                stack.tell("UPDATE_ROLLBACK_FAILED", str(again))
            return
        stack.body = c.body
        stack.tell("CREATE_COMPLETE" if c.create else "UPDATE_COMPLETE")

    def converge(self, stack, template, values):
        """Brings the stack to a template. A Refusal leaves it where it was when it came."""
        live, leftover = {}, []
        scope = self.scope(stack, template, values, live)
        for name, kind, properties in self.wanted(template, scope):
            have = stack.made.get(name)
            if have is None or type(have) is not kind or any(have.p.get(k) != properties.get(k) for k in kind.anew):
                made = kind(self.aws, self.account, stack.name, name, properties)
                self.step(stack, "CREATE", made, lambda: setattr_all(made, made.make()))
                if have is not None:
                    leftover.append((have, self.kept(stack, name, "UpdateReplacePolicy")["PolicyAction"]))
                stack.made[name] = made
            elif have.p != properties:
                made = kind(self.aws, self.account, stack.name, name, properties, have.physical, have.has)
                self.step(stack, "UPDATE", made, lambda: made.change(have.p))
                stack.made[name] = made
            live[name] = (stack.made[name].physical, stack.made[name].has)
        outputs = self.outputs(template, scope)
        for name in [n for n in stack.made if n not in live][::-1]:
            leftover.append((stack.made.pop(name), self.kept(stack, name, "DeletionPolicy")["PolicyAction"]))
        for resource, policy in leftover:
            self.step(stack, "DELETE", resource, resource.drop) if policy == "Delete" else stack.tell("DELETE_SKIPPED", resource=resource)
        stack.template, stack.values, stack.outputs = template, values, outputs

    def step(self, stack, verb, resource, do):
        stack.tell(verb + "_IN_PROGRESS", resource=resource)
        try:
            do()
        except Refusal as e:
            stack.tell(verb + "_FAILED", str(e), resource)
            raise Refusal(f"The following resource(s) failed to {verb.lower()}: [{resource.logical}]. ") from e
        stack.tell(verb + "_COMPLETE", resource=resource)

    def delete(self, stack):
        try:
            self.take_down(stack, {"Retain", "RetainExceptOnCreate"})
        except Refusal as e:
            stack.tell("DELETE_FAILED", str(e))
            return
        stack.outputs = []
        stack.tell("DELETE_COMPLETE")

    def take_down(self, stack, retaining):
        for name in list(stack.made)[::-1]:
            resource = stack.made[name]
            if stack.template.resources[name].get("DeletionPolicy") in retaining:
                stack.tell("DELETE_SKIPPED", resource=resource)
            else:
                self.step(stack, "DELETE", resource, resource.drop)
            del stack.made[name]


def setattr_all(resource, made):
    resource.physical, resource.has = made

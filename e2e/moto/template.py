"""CloudFormation templates as data: YAML with its short tags, parameters, conditions and intrinsic functions.

Whatever it does not know is a Refusal, so that a template which means something else on AWS does not pass here by luck."""
import re

import yaml


class Refusal(Exception):
    """What CloudFormation would say, under its error code."""

    def __init__(self, message, code="ValidationError"):
        super().__init__(message)
        self.code = code


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags, and without keys that are there twice."""


def tagged(loader, tag, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = mapping(loader, node)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else "Fn::" + tag: value}


def mapping(loader, node):
    keys = [k.value for k, _ in node.value]
    twice = {k for k in keys if keys.count(k) > 1}
    if twice:
        raise Refusal(f"Template format error: {sorted(twice)} twice, line {node.start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


Loader.add_multi_constructor("!", tagged)
Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)

SECTIONS = {"AWSTemplateFormatVersion", "Description", "Parameters", "Conditions", "Resources", "Outputs"}
ATTRIBUTES = {"Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy"}
POLICIES = {"Delete", "Retain", "RetainExceptOnCreate"}


class Template:
    def __init__(self, body):
        if len(body.encode()) > 51_200:
            raise Refusal("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200")
        try:
            self.all = yaml.load(body, Loader)
        except yaml.YAMLError as e:
            raise Refusal(f"Template format error: {e}") from e
        known(self.all, SECTIONS, "Template format error")
        self.parameters = self.all.get("Parameters", {})
        self.conditions = self.all.get("Conditions", {})
        self.resources = self.all["Resources"]
        self.outputs = self.all.get("Outputs", {})
        for name, r in self.resources.items():
            known(r, ATTRIBUTES, name)
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                known([r.get(policy, "Delete")], POLICIES, f"{name}: {policy}")
            if r.get("Condition", None) not in [None, *self.conditions]:
                raise Refusal(f"{name}: Unresolved condition dependency {r['Condition']} in the Resources block of the template")

    def order(self):
        """The resources, each behind what it names."""
        out, entered = [], set()

        def visit(name, path):
            if name in path:
                raise Refusal("Circular dependency between resources: " + str(path[path.index(name):]))
            if name in entered:
                return
            r = self.resources[name]
            depends = r.get("DependsOn", [])
            for other in [depends] if isinstance(depends, str) else depends:
                if other not in self.resources:
                    raise Refusal(f"Template format error: Unresolved resource dependencies [{other}] in the Resources block of the template")
                visit(other, [*path, name])
            for other in named(r.get("Properties", {})):
                if other in self.resources:
                    visit(other, [*path, name])
            entered.add(name)
            out.append(name)

        for name in self.resources:
            visit(name, [])
        return out

    def values(self, given):
        """The parameters' values."""
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            raise Refusal(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        out = {}
        for name, p in self.parameters.items():
            if p["Type"] != "String":
                raise Refusal(f"{name}: only strings are known here")
            value = given.get(name, p.get("Default"))
            if value is None:
                raise Refusal(f"Parameters: [{name}] must have values")
            if len(value) > 4096:
                raise Refusal(f"Parameter {name} has {len(value)} characters, more than 4096")
            if "AllowedPattern" in p and not re.fullmatch(p["AllowedPattern"], value):
                raise Refusal(f"Parameter {name} failed to satisfy constraint: Parameter {name} must match pattern {p['AllowedPattern']}")
            out[name] = value
        return out


def known(names, allowed, where):
    unknown = sorted(set(names) - set(allowed))
    if unknown:
        raise Refusal(f"{where}: {', '.join(unknown)}: not known here")


def named(x):
    """What a value refers to."""
    if isinstance(x, dict):
        for key, value in x.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield value[0]
            elif key == "Fn::Sub":
                own = set()
                if isinstance(value, list):
                    own = set(value[1])
                    yield from named(value[1])
                    value = value[0]
                for v in re.findall(r"\$\{([^!}]+)\}", value):
                    if v not in own:
                        yield v.split(".")[0]
            else:
                yield from named(value)
    elif isinstance(x, list):
        for value in x:
            yield from named(value)


NOTHING = object()  # AWS::NoValue


class Scope:
    """What a template's names stand for: pseudo parameters, parameters' values, and resources as far as they are there.

    Resources maps a logical id to (physical id, attributes)."""

    def __init__(self, template, pseudo, values, resources):
        self.template, self.names, self.resources = template, {**pseudo, **values, "AWS::NoValue": NOTHING}, resources
        self.decided = {}

    def condition(self, name):
        if name not in self.decided:
            if name not in self.template.conditions:
                raise Refusal(f"Template error: unresolved condition {name}")
            self.decided[name] = self.truth(self.template.conditions[name])
        return self.decided[name]

    def truth(self, x):
        (function, of), = x.items()
        match function:
            case "Condition":
                return self.condition(of)
            case "Fn::Equals":
                return self.resolve(of[0]) == self.resolve(of[1])
            case "Fn::Not":
                return not self.truth(of[0])
            case "Fn::And":
                return all([self.truth(c) for c in of])
            case "Fn::Or":
                return any([self.truth(c) for c in of])
        raise Refusal(f"Template error: {function} in a condition")

    def wanted(self, x):
        """Whether a resource or an output is to be there."""
        return "Condition" not in x or self.condition(x["Condition"])

    def resolve(self, x):
        if isinstance(x, list):
            return [v for v in map(self.resolve, x) if v is not NOTHING]
        if not isinstance(x, dict):
            return x
        function = next(iter(x), "")
        if len(x) != 1 or function != "Ref" and not function.startswith("Fn::"):
            return {k: v for k, v in ((k, self.resolve(v)) for k, v in x.items()) if v is not NOTHING}
        of = x[function]
        match function:
            case "Ref":
                return self.ref(of)
            case "Fn::GetAtt":
                return self.attribute(*of)
            case "Fn::If":
                return self.resolve(of[1] if self.condition(of[0]) else of[2])
            case "Fn::Join":
                return of[0].join(self.resolve(of[1]))
            case "Fn::Split":
                return self.resolve(of[1]).split(of[0])
            case "Fn::Select":
                return self.resolve(of[1])[int(of[0])]
            case "Fn::Sub":
                text, own = of if isinstance(of, list) else (of, {})

                def put(m):
                    name = m[1]
                    if name.startswith("!"):
                        return "${" + name[1:] + "}"
                    if name in own:
                        return str(self.resolve(own[name]))
                    return str(self.attribute(*name.split(".", 1)) if "." in name else self.ref(name))

                return re.sub(r"\$\{([^}]+)\}", put, text)
        raise Refusal(f"Template error: {function} is not known here")

    def ref(self, name):
        if name in self.names:
            return self.names[name]
        return self.resource(name)[0]

    def attribute(self, name, attribute):
        attributes = self.resource(name)[1]
        if attribute not in attributes:
            raise Refusal(f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt")
        return attributes[attribute]

    def resource(self, name):
        if name not in self.resources:
            raise Refusal(f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template")
        return self.resources[name]

"""Evaluates the functions of a CloudFormation template, to get the policies in it.

cloudformation.py TEMPLATE VALUES: VALUES is a JSON object with `parameters`, `pseudo` (AWS::Region and the like) and
`attributes` ("Key.Arn" and the like). Prints a JSON object with the properties of each resource whose condition holds.
A function that cannot be evaluated is an error, so that nothing is compared by mistake.
"""

import json
import re
import sys

import yaml

GONE = object()


def _construct(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


class Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions."""


Loader.add_multi_constructor("!", _construct)


class Template:
    def __init__(self, template, values):
        self.template = template
        self.pseudo = values["pseudo"]
        self.attributes = values["attributes"]
        self.parameters = {}
        for name, parameter in template["Parameters"].items():
            value = values["parameters"].get(name, parameter.get("Default"))
            if value is None:
                raise KeyError(f"parameter {name} has no value")
            if value not in parameter.get("AllowedValues", [value]):
                raise ValueError(f"parameter {name}: {value} is not allowed")
            is_list = parameter["Type"] == "CommaDelimitedList"
            for one in value.split(",") if is_list else [value]:
                if not re.fullmatch(parameter.get("AllowedPattern", "(?s:.*)"), str(one)):
                    raise ValueError(f"parameter {name}: {one} is not allowed")
            self.parameters[name] = value.split(",") if is_list else value

    def holds(self, name):
        return self.value(self.template["Conditions"][name])

    def named(self, name):
        if name == "AWS::NoValue":
            return GONE
        if name in self.parameters:
            return self.parameters[name]
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.template["Resources"]:
            return f"<{name}>"
        return self.attributes[name]

    def value(self, node):
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not GONE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name in FUNCTIONS:
                return FUNCTIONS[name](self, argument)
            if name.startswith("Fn::"):
                raise ValueError(f"{name} is not supported here")
        members = {name: self.value(member) for name, member in node.items()}
        return {name: member for name, member in members.items() if member is not GONE}

    def sub(self, argument):
        text, given = argument if isinstance(argument, list) else (argument, {})
        given = self.value(given)
        named = lambda found: given.get(found[1]) or self.named(found[1])
        return re.sub(r"\$\{([^}]+)\}", named, text)

    def select(self, argument):
        index, values = self.value(argument)
        return values[int(index)]

    def split(self, argument):
        by, text = self.value(argument)
        return text.split(by)

    def resources(self):
        met = {}
        for name, resource in self.template["Resources"].items():
            if "Condition" not in resource or self.holds(resource["Condition"]):
                met[name] = self.value(resource["Properties"])
        return met


FUNCTIONS = {
    "Ref": lambda self, name: self.named(name),
    "Condition": lambda self, name: self.holds(name),
    "Fn::Sub": Template.sub,
    "Fn::Select": Template.select,
    "Fn::Split": Template.split,
    "Fn::GetAtt": lambda self, name: self.attributes[name if isinstance(name, str) else ".".join(name)],
    "Fn::If": lambda self, arms: self.value(arms[1] if self.holds(arms[0]) else arms[2]),
    "Fn::Equals": lambda self, sides: self.value(sides[0]) == self.value(sides[1]),
    "Fn::Not": lambda self, argument: not self.value(argument)[0],
    "Fn::And": lambda self, conditions: all(self.value(conditions)),
    "Fn::Or": lambda self, conditions: any(self.value(conditions)),
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        template = yaml.load(file, Loader)
    with open(sys.argv[2], encoding="utf-8") as file:
        values = json.load(file)
    print(json.dumps(Template(template, values).resources()))


if __name__ == "__main__":
    main()

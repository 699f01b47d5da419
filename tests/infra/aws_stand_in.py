"""Stands in the PATH as `aws` for infra/scripts, and plays what moto cannot: deployments that fail, calls that fail.

    AWS_STAND_IN=FILE aws SERVICE OPERATION [--option value ...]

FILE is JSON: what there is, how it behaves, and `calls`, what was asked of it. `fails`: calls that fail, by a part of
their command line. `broken`: image tag, and how deployments of it end: `rolled_back`, `FAILED` or `IN_PROGRESS`.
"""

import json
import os
import sys

IMAGE = "registry.invalid/claude-proxy"


class Refused(Exception):
    pass


def arn_of(state, name):
    """Of a family its newest revision that is active."""
    if ":" in name:
        return name
    active = [arn for arn, each in state["definitions"].items() if each["family"] == name and each["active"]]
    return max(active, key=lambda arn: int(arn.split(":")[-1]))


def tag_of(state, arn):
    return state["definitions"][arn]["image"].split(":")[-1]


def describe_services(state, given):
    service = state["services"][given["services"]]
    wanted, running, rollout = service["definition"], service["definition"], "COMPLETED"
    ending = service["ending"]
    if ending == "rolled_back":
        running = service["before"]
    elif service["before"]:
        rollout = ending
    primary = {"status": "PRIMARY", "taskDefinition": running, "rolloutState": rollout}
    told = {"taskDefinition": running, "desiredCount": service["desired"], "deployments": [primary]}
    return {"services": [told]}


def update_service(state, given):
    service = state["services"][given["service"]]
    if "task-definition" in given:
        if not state["definitions"].get(given["task-definition"], {}).get("active"):
            raise Refused(f"TaskDefinition not found: {given['task-definition']!r}")
        service["before"], service["definition"] = service["definition"], given["task-definition"]
        service["ending"] = state["broken"].get(tag_of(state, service["definition"]), "COMPLETED")
    service["desired"] = int(given.get("desired-count", service["desired"]))
    return {}


def describe_task_definition(state, given):
    each = state["definitions"][arn_of(state, given["task-definition"])]
    container = {"name": "claude-proxy", "image": each["image"]}
    return {"taskDefinition": {"family": each["family"], "containerDefinitions": [container]}}


def list_task_definitions(state, given):
    arns = [arn for arn, each in state["definitions"].items() if each["family"] == given["family-prefix"]]
    return {"taskDefinitionArns": [arn for arn in arns if state["definitions"][arn]["active"]][::-1]}


def register_task_definition(state, given):
    with open(given["cli-input-json"].removeprefix("file://"), encoding="utf-8") as file:
        asked = json.load(file)
    family = asked["family"]
    number = 1 + sum(each["family"] == family for each in state["definitions"].values())
    arn = f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{family}:{number}"
    image = asked["containerDefinitions"][0]["image"]
    state["definitions"][arn] = {"family": family, "image": image, "active": True}
    return {"taskDefinition": {"taskDefinitionArn": arn}}


def deregister_task_definition(state, given):
    state["definitions"][given["task-definition"]]["active"] = False
    return {}


def describe_images(state, given):
    tag = given["image-ids"].removeprefix("imageTag=")
    if tag not in state["pushed"]:
        raise Refused(f"An error occurred (ImageNotFoundException): {tag}")
    return {"imageDetails": [{}]}


def modify_rule(state, given):
    state["weights"] = [each["Weight"] for each in json.loads(given["actions"])[0]["ForwardConfig"]["TargetGroups"]]
    return {}


def describe_rules(state, _):
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(state["groups"], state["weights"])]
    return {"Rules": [{"Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}]}


OPERATIONS = {
    "ecs describe-services": describe_services,
    "ecs update-service": update_service,
    "ecs describe-task-definition": describe_task_definition,
    "ecs list-task-definitions": list_task_definitions,
    "ecs register-task-definition": register_task_definition,
    "ecs deregister-task-definition": deregister_task_definition,
    "ecs run-task": lambda state, given: {"tasks": [{"taskArn": "task"}]},
    "ecs wait": lambda state, given: None,
    "ecs describe-tasks": lambda state, given: {
        "tasks": [{"containers": [{"name": "claude-proxy", "exitCode": state["migration_ends_with"]}]}]
    },
    "ecr describe-images": describe_images,
    "elbv2 modify-rule": modify_rule,
    "elbv2 describe-rules": describe_rules,
}


def main():
    path, words = os.environ["AWS_STAND_IN"], sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
    given = {word[2:]: words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("--")}
    told = " ".join(words)
    state["calls"].append(told)
    try:
        if any(part in told for part in state["fails"]):
            raise Refused("it was told to fail")
        answer = OPERATIONS[" ".join(words[:2])](state, given)
        if answer is not None:
            print(json.dumps(answer))
    except Refused as why:
        print(why, file=sys.stderr)
        return 254
    finally:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(state, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The request bodies of the workloads: the same bytes in every run, because the random numbers have a fixed seed.

w1.json is a small question (about 1 KB), w2.json the request of a coding agent in the middle of its work (about 200 KB:
tools with schemas, a long system prompt, tool results). The other files are w1 as a stream; their `model` tells the
mock how to answer.
"""
import json
import pathlib
import random

WORDS = (
    "the of function returns value error buffer stream token request server client parse model context file line test "
    "build patch class const auto std vector string size"
).split()
AGENT_BODY_BYTES = 205_000


class BodyWriter:
    def __init__(self):
        self.random = random.Random(7)

    def prose(self, length: int) -> str:
        text = ""
        while len(text) < length:
            text += self.random.choice(WORDS) + self.random.choice([" ", " ", " ", "\n", "_", ' "', "\t"])
        return text[:length]

    def small(self, model: str, stream: bool = False) -> dict:
        body = {"model": model, "max_tokens": 1024}
        if stream:
            body["stream"] = True
        body["system"] = "You are a helpful assistant. " + self.prose(250)
        body["messages"] = [{"role": "user", "content": self.prose(500)}]
        body["temperature"] = 0.7
        return body

    def agent(self, model: str) -> dict:
        body = {
            "model": model,
            "max_tokens": 32000,
            "system": [{"type": "text", "text": self.prose(12000), "cache_control": {"type": "ephemeral"}}],
            "tools": [self.tool(f"tool_{number}") for number in range(18)],
            "messages": [{"role": "user", "content": [{"type": "text", "text": self.prose(300)}]}],
        }
        while len(json.dumps(body)) < AGENT_BODY_BYTES:
            number = len(body["messages"])
            body["messages"].append(self.tool_use(number) if number % 2 else self.tool_result(number - 1))
        return body

    def tool(self, tool_name: str) -> dict:
        names = ("path", "old", "new", "pattern")
        properties = {name: {"type": "string", "description": self.prose(80)} for name in names}
        schema = {"type": "object", "properties": properties, "required": ["path"]}
        return {"name": tool_name, "description": self.prose(600), "input_schema": schema}

    def tool_use(self, number: int) -> dict:
        use = {
            "type": "tool_use",
            "id": f"toolu_{number:06d}",
            "name": f"tool_{number % 18}",
            "input": {"path": "src/main.cpp", "pattern": self.prose(60)},
        }
        return {"role": "assistant", "content": [{"type": "text", "text": self.prose(200)}, use]}

    def tool_result(self, number: int) -> dict:
        text = self.prose(self.random.choice([400, 2000, 6000]))
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number:06d}", "content": text}
        return {"role": "user", "content": [result]}


def write_bodies(folder: pathlib.Path, stream_models: set[str]) -> None:
    """`stream_models`: the part of the model name after `claude-mock-`, for example `s10-n200`."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = BodyWriter()
    bodies = {"w1.json": writer.small("claude-mock-json"), "w2.json": writer.agent("claude-mock-json")}
    for name in sorted(stream_models):
        bodies[f"{name}.json"] = writer.small(f"claude-mock-{name}", stream=True)
    for name, body in bodies.items():
        (folder / name).write_text(json.dumps(body, separators=(",", ":")))

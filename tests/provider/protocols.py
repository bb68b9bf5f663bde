"""Three providers' protocols: a request's body in, a reply's body out. Streaming is off in all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.provider.replies import Asked, Call, Refuse, Say, Turn

Usage = tuple[int, int]


def anthropic_asked(body: Mapping[str, Any]) -> Asked:
    turns = []
    for message in body["messages"]:
        text, calls, results = "", [], []
        for part in _parts(message["content"]):
            if part["type"] == "text":
                text += part["text"]
            elif part["type"] == "tool_use":
                calls.append((part["name"], part["input"]))
            elif part["type"] == "tool_result":
                results.append(_plain(part["content"]))
        if results:
            turns.append(Turn("tool", "\n".join(results)))
        if text or calls:
            turns.append(Turn(message["role"], text, tuple(calls)))
    tools = {one["name"]: one["input_schema"] for one in body.get("tools", [])}
    system = _plain(body.get("system", ""))
    return Asked("anthropic", body["model"], system, tuple(turns), tools, body["max_tokens"], body)


def anthropic_reply(asked: Asked, reply: Say | Call, usage: Usage) -> dict[str, Any]:
    content: list[dict[str, Any]]
    if isinstance(reply, Say):
        content = [{"type": "text", "text": reply.text}]
    else:
        content = [
            {"type": "tool_use", "id": f"toolu_{asked.answers}_{at}", "name": name, "input": dict(arguments)}
            for at, (name, arguments) in enumerate(reply.calls)
        ]
    return {
        "id": f"msg_{asked.answers}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": content,
        "stop_reason": "end_turn" if isinstance(reply, Say) else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": usage[0], "output_tokens": usage[1]},
    }


def anthropic_error(refuse: Refuse) -> dict[str, Any]:
    return {"type": "error", "error": {"type": refuse.kind, "message": refuse.message}}


def openai_asked(body: Mapping[str, Any]) -> Asked:
    turns, system = [], ""
    for message in body["messages"]:
        text = _plain(message.get("content") or "")
        if message["role"] in ("system", "developer"):
            system += text
            continue
        calls = [
            (one["function"]["name"], json.loads(one["function"]["arguments"]))
            for one in message.get("tool_calls") or ()
        ]
        turns.append(Turn(message["role"], text, tuple(calls)))
    functions = [one["function"] for one in body.get("tools", [])]
    tools = {one["name"]: one["parameters"] for one in functions}
    most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
    return Asked("openai", body["model"], system, tuple(turns), tools, most, body)


def openai_reply(asked: Asked, reply: Say | Call, usage: Usage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if isinstance(reply, Say):
        message["content"] = reply.text
    else:
        message["tool_calls"] = [
            {
                "id": f"call_{asked.answers}_{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for at, (name, arguments) in enumerate(reply.calls)
        ]
    finish = "stop" if isinstance(reply, Say) else "tool_calls"
    total = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return {
        "id": f"chatcmpl-{asked.answers}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": total,
    }


def openai_error(refuse: Refuse) -> dict[str, Any]:
    return {"error": {"message": refuse.message, "type": refuse.kind, "param": None, "code": None}}


def google_asked(body: Mapping[str, Any], model: str) -> Asked:
    turns = []
    for content in body["contents"]:
        text, calls, results = "", [], []
        for part in content["parts"]:
            text += part.get("text", "")
            if "functionCall" in part:
                calls.append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
            if "functionResponse" in part:
                results.append(json.dumps(part["functionResponse"]["response"]))
        if results:
            turns.append(Turn("tool", "\n".join(results)))
        if text or calls:
            role = "assistant" if content.get("role") == "model" else "user"
            turns.append(Turn(role, text, tuple(calls)))
    declared = [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]
    tools = {
        one["name"]: one.get("parametersJsonSchema") or one.get("parameters_json_schema") or {}
        for one in declared
    }
    system = _google_text(body.get("systemInstruction"))
    most = body.get("generationConfig", {}).get("maxOutputTokens", 0)
    return Asked("google", model, system, tuple(turns), tools, most, body)


def google_reply(asked: Asked, reply: Say | Call, usage: Usage) -> dict[str, Any]:
    parts: list[dict[str, Any]]
    if isinstance(reply, Say):
        parts = [{"text": reply.text}]
    else:
        parts = [{"functionCall": {"name": name, "args": dict(args)}} for name, args in reply.calls]
    return {
        "responseId": f"response_{asked.answers}",
        "modelVersion": asked.model,
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": parts}}],
        "usageMetadata": {
            "promptTokenCount": usage[0],
            "candidatesTokenCount": usage[1],
            "totalTokenCount": sum(usage),
        },
    }


def google_error(refuse: Refuse) -> dict[str, Any]:
    return {"error": {"code": refuse.status, "message": refuse.message, "status": refuse.kind.upper()}}


def _parts(content: Any) -> list[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _google_text(content: Any) -> str:
    return "" if content is None else "\n".join(part.get("text", "") for part in content["parts"])

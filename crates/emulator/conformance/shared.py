"""What the checks share: the order, the schema, the mark."""

import json
import time
import uuid

ORDER = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘"
ROLE = "You plan campaigns: message, offer, channel and calendar. 한국어로 답합니다."
MARK = "〔에뮬레이터 응답 · emulated〕"
SCHEMA = {
    "type": "object",
    "properties": {
        "department": {"type": "string", "enum": ["finance", "marketing", "operations"]},
        "reason": {"type": "string"},
        "points": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["department", "reason", "points", "confidence"],
    "additionalProperties": False,
}
TOOL_SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["title", "days"],
    "additionalProperties": False,
}


def faulty(fault: str) -> str:
    """An order with a fault of its own: the number keeps one check from counting for another."""
    return f"{ORDER} ({uuid.uuid4().hex[:8]}) [[emulate: {fault}]]"


def check_text(text: str) -> None:
    assert text.startswith(MARK), text
    assert ORDER in text, text
    assert "결론" in text and "애견호텔" in text, text


def check_choice(text: str) -> None:
    value = json.loads(text)
    assert set(value) == {"department", "reason", "points", "confidence"}, value
    assert value["department"] == "marketing", value
    assert len(value["points"]) >= 2 and 0 <= value["confidence"] <= 1, value


def check_arguments(value: dict) -> None:
    assert isinstance(value["title"], str) and 1 <= value["days"] <= 7, value


def raises(kind, action):
    """The error that the action raises, which must be of that kind."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"nothing was raised, expected {kind.__name__}")


def until(action, done):
    """What the action returns once it is done; a batch takes a fraction of a second here."""
    end = time.monotonic() + 60
    while True:
        found = action()
        if done(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def orders(count: int) -> dict:
    """Texts by their ids, each an order of its own."""
    return {f"item-{number:03}": f"{ORDER} {number}번" for number in range(count)}

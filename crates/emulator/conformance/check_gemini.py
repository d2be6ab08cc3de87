"""The official `google-genai` package against the emulator."""

import json

from google import genai
from google.genai import errors, types

import shared

MODEL = "gemini-3.8-flash"
# A client that is collected closes its connections under the streams it has handed out.
CLIENTS = []


def client(base, key="test-key", **options):
    CLIENTS.append(genai.Client(api_key=key, http_options={"base_url": base, **options}))
    return CLIENTS[-1]


def config(**options):
    return types.GenerateContentConfig(system_instruction=shared.ROLE, **options)


def ask(base, content=shared.ORDER, model=MODEL, **options):
    return client(base).models.generate_content(model=model, contents=content, config=config(**options))


def check_chat(base):
    response = ask(base)
    shared.check_text(response.text)
    assert response.candidates[0].finish_reason == types.FinishReason.STOP
    usage = response.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert response.model_version == MODEL and response.response_id


def check_header(base):
    response = ask(base)
    headers = {name.lower(): value for name, value in response.sdk_http_response.headers.items()}
    assert headers["x-chavion-emulated"] == "1"


def check_stream_equals_plain(base):
    plain = ask(base)
    text, last = "", None
    for chunk in client(base).models.generate_content_stream(model=MODEL, contents=shared.ORDER, config=config()):
        text += chunk.text or ""
        last = chunk
    assert text == plain.text
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata.candidates_token_count == plain.usage_metadata.candidates_token_count
    assert last.usage_metadata.prompt_token_count == plain.usage_metadata.prompt_token_count


def check_max_tokens(base):
    response = ask(base, max_output_tokens=12)
    assert response.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


def check_structured_output_json_schema(base):
    response = ask(base, response_mime_type="application/json", response_json_schema=shared.SCHEMA)
    shared.check_choice(response.text)


def check_structured_output_schema(base):
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={
            "department": types.Schema(type=types.Type.STRING, enum=["finance", "marketing"]),
            "points": types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.STRING), min_items=2),
            "note": types.Schema(type=types.Type.STRING, nullable=True),
        },
        required=["department", "points"],
    )
    value = json.loads(ask(base, response_mime_type="application/json", response_schema=schema).text)
    assert value["department"] == "marketing" and len(value["points"]) >= 2


def check_forced_tool(base):
    declaration = types.FunctionDeclaration(
        name="plan_event", description="행사를 계획한다", parameters_json_schema=shared.TOOL_SCHEMA
    )
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["plan_event"])
    response = ask(
        base,
        tools=[types.Tool(function_declarations=[declaration])],
        tool_config=types.ToolConfig(function_calling_config=calling),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    assert response.function_calls[0].name == "plan_event"
    shared.check_arguments(response.function_calls[0].args)


def check_count_tokens(base):
    counted = client(base).models.count_tokens(model=MODEL, contents=shared.ORDER)
    plain = client(base).models.generate_content(model=MODEL, contents=shared.ORDER)
    assert counted.total_tokens == plain.usage_metadata.prompt_token_count


def check_chat_session(base):
    chat = client(base).chats.create(model=MODEL)
    chat.send_message("겨울 예약을 늘리고 싶어")
    assert chat.send_message("가격은 어떻게 할까?").text.startswith(shared.MARK)


def check_models(base):
    names = [model.name for model in client(base).models.list()]
    assert f"models/{MODEL}" in names
    assert client(base).models.get(model=MODEL).input_token_limit == 1_048_576


def check_wrong_key(base):
    wrong = client(base, key="invalid")
    error = shared.raises(
        errors.ClientError, lambda: wrong.models.generate_content(model=MODEL, contents="안녕")
    )
    assert error.code == 401 and error.status == "UNAUTHENTICATED"


def check_unknown_model(base):
    error = shared.raises(errors.ClientError, lambda: ask(base, model="missing-model"))
    assert error.code == 404 and error.status == "NOT_FOUND"


def check_rate_limit(base):
    error = shared.raises(errors.ClientError, lambda: ask(base, shared.faulty("429; retry-info=46")))
    assert error.code == 429 and error.status == "RESOURCE_EXHAUSTED"
    assert "46s" in json.dumps(error.details)


def check_server_error(base):
    error = shared.raises(errors.ServerError, lambda: ask(base, shared.faulty("503")))
    assert error.code == 503 and error.status == "UNAVAILABLE"


def check_blocked(base):
    response = ask(base, shared.faulty("blocked"))
    assert not response.candidates and response.prompt_feedback.block_reason


def check_stream_error(base):
    def action():
        content = shared.faulty("error-event; after=2")
        for _ in client(base).models.generate_content_stream(model=MODEL, contents=content):
            pass

    assert shared.raises(errors.APIError, action).code == 503


def check_retry_succeeds(base):
    retry = types.HttpRetryOptions(attempts=3, initial_delay=0.02, max_delay=0.05)
    patient = client(base, retry_options=retry)
    content = shared.faulty("429; times=1 | 503; times=1")
    response = patient.models.generate_content(model=MODEL, contents=content)
    assert response.text.startswith(shared.MARK)


def check_split_characters(base):
    content = shared.faulty("split-utf8")
    chunks = client(base).models.generate_content_stream(model=MODEL, contents=content)
    text = "".join(chunk.text or "" for chunk in chunks)
    assert "애견호텔" in text and "�" not in text

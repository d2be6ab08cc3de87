"""The official `google-genai` package against the emulator."""

import io
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


def over(api, name):
    final = ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED")
    return shared.until(lambda: api.batches.get(name=name), lambda job: job.state and job.state.name in final)


def upload(api, orders, padding=""):
    lines = [
        {
            "key": id,
            "request": {
                "contents": [{"parts": [{"text": text + padding}], "role": "user"}],
                "system_instruction": {"parts": [{"text": shared.ROLE}]},
            },
        }
        for id, text in orders.items()
    ]
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    config = types.UploadFileConfig(display_name="겨울", mime_type="application/jsonl")
    file = api.files.upload(file=io.BytesIO(data), config=config)
    assert file.size_bytes == len(data) and file.state.name == "ACTIVE"
    return file


def check_batch_by_file_from_upload_to_delete(base):
    api = client(base)
    orders = shared.orders(25)
    file = upload(api, orders)
    created = api.batches.create(model=MODEL, src=file.name, config={"display_name": "겨울-001"})
    assert created.state.name == "JOB_STATE_PENDING" and created.display_name == "겨울-001"
    job = over(api, created.name)
    assert job.state.name == "JOB_STATE_SUCCEEDED" and job.model == f"models/{MODEL}"
    text = api.files.download(file=job.dest.file_name).decode()
    found = {line["key"]: line["response"] for line in map(json.loads, text.splitlines())}
    assert list(found) != list(orders) and set(found) == set(orders)
    for id, response in found.items():
        assert orders[id] in response["candidates"][0]["content"]["parts"][0]["text"]
    assert file.name in [known.name for known in api.files.list()]
    api.files.delete(name=file.name)
    shared.raises(errors.ClientError, lambda: api.files.get(name=file.name))
    api.batches.delete(name=job.name)
    shared.raises(errors.ClientError, lambda: api.batches.get(name=job.name))


def check_batch_inline(base):
    api = client(base)
    orders = shared.orders(12)
    requests = [
        types.InlinedRequest(
            contents=[types.Content(role="user", parts=[types.Part(text=text)])],
            metadata={"key": id},
            config=config(response_mime_type="application/json", response_json_schema=shared.SCHEMA),
        )
        for id, text in orders.items()
    ]
    job = over(api, api.batches.create(model=MODEL, src=requests, config={"display_name": "하나"}).name)
    responses = job.dest.inlined_responses
    assert len(responses) == 12
    for answer in responses:
        shared.check_choice(answer.response.text)
        assert (answer.metadata or {}).get("key") in orders


def check_batch_upload_in_chunks(base):
    api = client(base)
    # More than two pieces of 8 MiB.
    file = upload(api, shared.orders(9), padding="가" * 700_000)
    assert file.size_bytes > 17 * 1024 * 1024
    api.files.delete(name=file.name)


def check_batch_cancel(base):
    api = client(base, headers={"x-emulate": "batch-slow; ms=4000"})
    created = api.batches.create(model=MODEL, src=[types.InlinedRequest(contents="겨울 예약")])
    api.batches.cancel(name=created.name)
    job = over(api, created.name)
    assert job.state.name == "JOB_STATE_CANCELLED"
    assert not job.dest or not job.dest.inlined_responses


def check_batch_list(base):
    api = client(base)
    made = [api.batches.create(model=MODEL, src=[types.InlinedRequest(contents="예약")]).name for _ in range(5)]
    listed = [job.name for job in api.batches.list(config={"page_size": 2})]
    assert listed[:5] == made[::-1], listed


def check_batch_errors_of_items(base):
    api = client(base)
    orders = {"good": shared.ORDER, "busy": shared.faulty("503"), "late": shared.faulty("item-expired")}
    job = over(api, api.batches.create(model=MODEL, src=upload(api, orders).name).name)
    assert job.state.name == "JOB_STATE_SUCCEEDED"
    text = api.files.download(file=job.dest.file_name).decode()
    found = {line["key"]: line for line in map(json.loads, text.splitlines())}
    assert found["busy"]["error"]["code"] == 14 and found["late"]["error"]["code"] == 4
    assert "response" in found["good"]


def check_batch_refused(base):
    api = client(base)
    error = shared.raises(errors.ClientError, lambda: api.batches.create(model=MODEL, src="files/none"))
    assert error.code == 404
    shared.raises(errors.ClientError, lambda: api.batches.get(name="batches/none"))
    limited = client(base, headers={"x-emulate": "429; retry-info=46"})
    action = lambda: limited.batches.create(model=MODEL, src=[types.InlinedRequest(contents="예약")])
    assert shared.raises(errors.ClientError, action).code == 429

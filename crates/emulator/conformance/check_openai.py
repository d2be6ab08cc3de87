"""The official `openai` package against the emulator."""

import json

import openai
from pydantic import BaseModel

import shared

MODEL = "gpt-6.1-terra"
OLDER_MODEL = "gpt-4.1-mini"
MESSAGES = [{"role": "system", "content": shared.ROLE}, {"role": "user", "content": shared.ORDER}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "choice", "schema": shared.SCHEMA, "strict": True}}
FUNCTION = {"name": "plan_event", "description": "행사를 계획한다", "parameters": shared.TOOL_SCHEMA, "strict": True}


class Advice(BaseModel):
    title: str
    steps: list[str]


def client(base, **options):
    options.setdefault("max_retries", 0)
    options.setdefault("api_key", "test-key")
    return openai.OpenAI(base_url=f"{base}/v1", **options)


def ask(base, content=None, **options):
    options.setdefault("model", MODEL)
    messages = MESSAGES if content is None else [{"role": "user", "content": content}]
    return client(base).chat.completions.create(messages=messages, **options)


def respond(base, content=shared.ORDER, **options):
    options.setdefault("model", MODEL)
    return client(base).responses.create(instructions=shared.ROLE, input=content, store=False, **options)


def check_chat(base):
    completion = ask(base)
    choice = completion.choices[0]
    shared.check_text(choice.message.content)
    assert choice.finish_reason == "stop" and completion.object == "chat.completion"
    assert completion.system_fingerprint == "chavion-emulator"
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens == 0
    assert completion._request_id.startswith("req_")


def check_header(base):
    raw = client(base).chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
    assert raw.headers["x-chavion-emulated"] == "1" and raw.headers["x-ratelimit-limit-requests"]


def check_stream_equals_plain(base):
    plain = ask(base)
    stream = ask(base, stream=True, stream_options={"include_usage": True})
    text, usage, finish = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text == plain.choices[0].message.content
    assert usage.completion_tokens == plain.usage.completion_tokens
    assert usage.prompt_tokens == plain.usage.prompt_tokens and finish == "stop"


def check_length(base):
    completion = ask(base, max_completion_tokens=12)
    assert completion.choices[0].finish_reason == "length" and completion.usage.completion_tokens <= 12


def check_structured_output(base):
    shared.check_choice(ask(base, response_format=FORMAT).choices[0].message.content)


def check_parse(base):
    completion = client(base).chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Advice)
    assert completion.choices[0].message.parsed.steps


def check_forced_tool(base):
    tools = [{"type": "function", "function": FUNCTION}]
    choice = {"type": "function", "function": {"name": "plan_event"}}
    completion = ask(base, model=OLDER_MODEL, tools=tools, tool_choice=choice)
    call = completion.choices[0].message.tool_calls[0]
    assert completion.choices[0].finish_reason == "tool_calls" and call.function.name == "plan_event"
    shared.check_arguments(json.loads(call.function.arguments))


def check_forced_tool_stream(base):
    tools = [{"type": "function", "function": FUNCTION}]
    stream = ask(base, model=OLDER_MODEL, tools=tools, tool_choice="required", stream=True)
    arguments = ""
    for chunk in stream:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            arguments += call.function.arguments or ""
    shared.check_arguments(json.loads(arguments))


def check_new_models_refuse_old_parameters(base):
    error = shared.raises(openai.BadRequestError, lambda: ask(base, max_tokens=100))
    assert error.param == "max_tokens" and error.code == "unsupported_parameter"


def check_responses(base):
    response = respond(base)
    shared.check_text(response.output_text)
    assert response.status == "completed" and response.id.startswith("resp_")
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def check_responses_stream(base):
    plain = respond(base)
    text, final, numbers = "", None, []
    for event in respond(base, stream=True):
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            final = event.response
    assert text == plain.output_text == final.output_text
    assert final.usage.output_tokens == plain.usage.output_tokens
    assert numbers == list(range(len(numbers)))


def check_responses_stream_helper(base):
    with client(base).responses.stream(model=MODEL, input=shared.ORDER) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text.startswith(shared.MARK)


def check_responses_structured_output(base):
    text = {"format": {"type": "json_schema", "name": "choice", "schema": shared.SCHEMA, "strict": True}}
    shared.check_choice(respond(base, text=text).output_text)


def check_responses_parse(base):
    response = client(base).responses.parse(model=MODEL, input=shared.ORDER, text_format=Advice)
    assert response.output_parsed.title


def check_responses_tool(base):
    response = respond(base, tools=[{"type": "function", **FUNCTION}], tool_choice="required")
    assert response.output[0].type == "function_call" and response.output[0].name == "plan_event"
    shared.check_arguments(json.loads(response.output[0].arguments))
    answered = respond(base, content=[
        {"role": "user", "content": shared.ORDER},
        response.output[0].model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": response.output[0].call_id, "output": "사흘이면 됩니다"},
    ])
    assert answered.output_text.startswith(shared.MARK)


def check_responses_incomplete(base):
    response = respond(base, max_output_tokens=16)
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"


def check_responses_stream_error(base):
    def action():
        for _ in respond(base, shared.faulty("error-event; after=4"), stream=True):
            pass

    # Older and newer packages disagree on whether the event is raised or handed out.
    try:
        action()
    except openai.APIError as error:
        assert "middle of a stream" in str(error)
    else:
        kinds = [event.type for event in respond(base, shared.faulty("error-event; after=4"), stream=True)]
        assert kinds[-1] == "error"


def check_models(base):
    names = [model.id for model in client(base).models.list()]
    assert MODEL in names
    assert client(base).models.retrieve(MODEL).object == "model"


def check_wrong_key(base):
    wrong = client(base, api_key="invalid")
    error = shared.raises(openai.AuthenticationError, lambda: wrong.models.list())
    assert error.code == "invalid_api_key"


def check_unknown_model(base):
    error = shared.raises(openai.NotFoundError, lambda: ask(base, model="missing-model"))
    assert error.code == "model_not_found"


def check_bad_role(base):
    messages = [{"role": "wizard", "content": "안녕"}]
    action = lambda: client(base).chat.completions.create(model=MODEL, messages=messages)
    assert shared.raises(openai.BadRequestError, action).param == "messages[0].role"


def check_rate_limit(base):
    error = shared.raises(openai.RateLimitError, lambda: ask(base, shared.faulty("429; retry-after-ms=70")))
    assert error.response.headers["retry-after-ms"] == "70" and error.code == "rate_limit_exceeded"


def check_quota(base):
    error = shared.raises(openai.RateLimitError, lambda: ask(base, shared.faulty("insufficient-quota")))
    assert error.code == "insufficient_quota" and error.type == "insufficient_quota"


def check_server_error(base):
    error = shared.raises(openai.InternalServerError, lambda: ask(base, shared.faulty("503")))
    assert error.status_code == 503


def check_reset(base):
    shared.raises(openai.APIConnectionError, lambda: ask(base, shared.faulty("reset")))


def check_stream_error(base):
    def action():
        for _ in ask(base, shared.faulty("error-event; after=3"), stream=True):
            pass

    assert "middle of a stream" in str(shared.raises(openai.APIError, action))


def check_retry_succeeds(base):
    patient = client(base, max_retries=2)
    messages = [{"role": "user", "content": shared.faulty("429; retry-after-ms=20; times=1 | 503; times=1")}]
    completion = patient.chat.completions.create(model=MODEL, messages=messages)
    assert completion.choices[0].message.content.startswith(shared.MARK)


def check_crlf_stream(base):
    chunks = list(ask(base, shared.faulty("crlf"), stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "애견호텔" in text


def line(id, text, url="/v1/chat/completions", model=MODEL):
    if url == "/v1/responses":
        body = {"model": model, "instructions": shared.ROLE, "input": text}
    else:
        body = {"model": model, "messages": [MESSAGES[0], {"role": "user", "content": text}]}
    return {"custom_id": id, "method": "POST", "url": url, "body": body}


def make(base, lines, endpoint="/v1/chat/completions", **options):
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    api = client(base)
    file = api.files.create(file=("겨울.jsonl", data), purpose="batch")
    assert file.bytes == len(data) and file.purpose == "batch" and file.status == "processed"
    return api.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,
        completion_window="24h",
        metadata={"token": "겨울-001"},
        **options,
    )


def over(base, id):
    final = ("completed", "failed", "expired", "cancelled")
    return shared.until(lambda: client(base).batches.retrieve(id), lambda batch: batch.status in final)


def read(base, id):
    text = client(base).files.content(id).text
    return {line["custom_id"]: line for line in map(json.loads, text.splitlines())}


def check_batch_from_upload_to_delete(base):
    for endpoint in ("/v1/chat/completions", "/v1/responses"):
        orders = shared.orders(25)
        created = make(base, [line(id, text, endpoint) for id, text in orders.items()], endpoint)
        assert created.status == "validating" and created.metadata == {"token": "겨울-001"}
        batch = over(base, created.id)
        counts = batch.request_counts
        assert batch.status == "completed" and (counts.total, counts.completed, counts.failed) == (25, 25, 0)
        assert batch.error_file_id is None and batch.in_progress_at and batch.completed_at
        found = read(base, batch.output_file_id)
        assert list(found) != list(orders) and set(found) == set(orders)
        for id, answer in found.items():
            assert answer["error"] is None and answer["response"]["status_code"] == 200
            assert orders[id] in json.dumps(answer["response"]["body"], ensure_ascii=False)
        api = client(base)
        listed = [file.id for file in api.files.list()]
        for id in (batch.input_file_id, batch.output_file_id):
            assert id in listed and api.files.delete(id).deleted
            shared.raises(openai.NotFoundError, lambda: api.files.retrieve(id))


def check_batch_cancel(base):
    slow = {"x-emulate": "batch-slow; ms=4000"}
    created = make(base, [line("하나", shared.ORDER)], extra_headers=slow)
    assert client(base).batches.cancel(created.id).status == "cancelling"
    batch = over(base, created.id)
    assert batch.status == "cancelled" and batch.output_file_id is None
    assert read(base, batch.error_file_id)["하나"]["error"]["code"] == "batch_cancelled"


def check_batch_list(base):
    made = [make(base, [line("a", shared.ORDER)]).id for _ in range(5)]
    listed = [batch.id for batch in client(base).batches.list(limit=2)]
    assert listed[:5] == made[::-1], listed


def check_batch_failed_with_lines(base):
    wrong = [line("a", shared.ORDER), line("a", shared.ORDER), line("b", shared.ORDER, "/v1/responses")]
    batch = over(base, make(base, wrong).id)
    assert batch.status == "failed" and batch.output_file_id is None
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("duplicate_custom_id", 2),
        ("url_mismatch", 3),
    ]


def check_batch_errors_of_items(base):
    lines = [line("good", shared.ORDER), line("busy", shared.faulty("503")), line("late", shared.faulty("item-expired"))]
    batch = over(base, make(base, lines).id)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
    assert set(read(base, batch.output_file_id)) == {"good"}
    errors = read(base, batch.error_file_id)
    assert errors["busy"]["response"]["status_code"] == 503
    assert errors["late"]["error"]["code"] == "batch_expired" and errors["late"]["response"] is None


def check_batch_refused(base):
    api = client(base)
    action = lambda: api.files.create(file=b"{}", purpose="batch")
    assert "Must be .jsonl" in str(shared.raises(openai.BadRequestError, action))
    create = lambda id, **options: api.batches.create(
        input_file_id=id, endpoint="/v1/chat/completions", completion_window="24h", **options
    )
    shared.raises(openai.NotFoundError, lambda: create("file-none"))
    shared.raises(openai.NotFoundError, lambda: api.batches.retrieve("batch_none"))
    limited = {"x-emulate": "429; retry-after-ms=70"}
    action = lambda: make(base, [line("a", shared.ORDER)], extra_headers=limited)
    assert shared.raises(openai.RateLimitError, action).response.headers["retry-after-ms"] == "70"

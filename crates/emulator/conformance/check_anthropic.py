"""The official `anthropic` package against the emulator."""

import anthropic

import shared

MODEL = "claude-sonnet-5-5"
TOOL = {"name": "plan_event", "description": "행사를 계획한다", "input_schema": shared.TOOL_SCHEMA}


def client(base, **options):
    options.setdefault("max_retries", 0)
    options.setdefault("api_key", "test-key")
    return anthropic.Anthropic(base_url=base, **options)


def ask(base, content=shared.ORDER, **options):
    options.setdefault("model", MODEL)
    options.setdefault("max_tokens", 2000)
    messages = [{"role": "user", "content": content}]
    return client(base).messages.create(system=shared.ROLE, messages=messages, **options)


def check_chat(base):
    message = ask(base)
    shared.check_text(message.content[0].text)
    assert message.stop_reason == "end_turn" and message.role == "assistant"
    assert message.id.startswith("msg_") and message._request_id.startswith("req_")
    assert message.usage.input_tokens > 20 and message.usage.output_tokens > 50
    assert message.usage.cache_read_input_tokens == 0


def check_chat_is_deterministic(base):
    assert ask(base).content[0].text == ask(base).content[0].text


def check_header(base):
    messages = [{"role": "user", "content": "안녕"}]
    raw = client(base).messages.with_raw_response.create(model=MODEL, max_tokens=50, messages=messages)
    assert raw.headers["x-chavion-emulated"] == "1"
    assert raw.headers["anthropic-ratelimit-requests-limit"]


def check_stream_equals_plain(base):
    plain = ask(base)
    messages = [{"role": "user", "content": shared.ORDER}]
    with client(base).messages.stream(
        model=MODEL, max_tokens=2000, system=shared.ROLE, messages=messages
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == plain.content[0].text
    assert final.usage.output_tokens == plain.usage.output_tokens
    assert final.usage.input_tokens == plain.usage.input_tokens
    assert final.stop_reason == "end_turn"


def check_max_tokens(base):
    message = ask(base, max_tokens=12)
    assert message.stop_reason == "max_tokens" and message.usage.output_tokens <= 12


def check_structured_output(base):
    config = {"format": {"type": "json_schema", "schema": shared.SCHEMA}}
    message = ask(base, extra_body={"output_config": config})
    shared.check_choice(message.content[0].text)


def check_forced_tool(base):
    message = ask(base, tools=[TOOL], tool_choice={"type": "tool", "name": "plan_event"})
    assert message.stop_reason == "tool_use"
    assert message.content[0].name == "plan_event"
    shared.check_arguments(message.content[0].input)


def check_forced_tool_stream(base):
    with client(base).messages.stream(
        model=MODEL,
        max_tokens=500,
        messages=[{"role": "user", "content": shared.ORDER}],
        tools=[TOOL],
        tool_choice={"type": "any"},
    ) as stream:
        message = stream.get_final_message()
    shared.check_arguments(message.content[0].input)


def check_count_tokens(base):
    counted = client(base).messages.count_tokens(
        model=MODEL, system=shared.ROLE, messages=[{"role": "user", "content": shared.ORDER}]
    )
    assert counted.input_tokens == ask(base).usage.input_tokens


def check_models(base):
    names = [model.id for model in client(base).models.list()]
    assert MODEL in names and len(names) > 3
    assert client(base).models.retrieve(MODEL).display_name == "Claude Sonnet 5.5"


def check_wrong_key(base):
    wrong = client(base, api_key="invalid")
    error = shared.raises(anthropic.AuthenticationError, lambda: wrong.models.list())
    assert error.body["error"]["type"] == "authentication_error"


def check_unknown_model(base):
    shared.raises(anthropic.NotFoundError, lambda: ask(base, model="missing-model"))


def check_bad_role(base):
    messages = [{"role": "wizard", "content": "안녕"}]
    action = lambda: client(base).messages.create(model=MODEL, max_tokens=5, messages=messages)
    error = shared.raises(anthropic.BadRequestError, action)
    assert "messages.0.role" in error.body["error"]["message"]


def check_rate_limit(base):
    error = shared.raises(anthropic.RateLimitError, lambda: ask(base, shared.faulty("429; retry-after=7")))
    assert error.response.headers["retry-after"] == "7"
    assert error.body["error"]["type"] == "rate_limit_error"


def check_overloaded(base):
    error = shared.raises(anthropic.APIStatusError, lambda: ask(base, shared.faulty("529")))
    assert error.status_code == 529 and error.body["error"]["type"] == "overloaded_error"


def check_reset(base):
    shared.raises(anthropic.APIConnectionError, lambda: ask(base, shared.faulty("reset")))


def check_cut_body(base):
    shared.raises(anthropic.APIConnectionError, lambda: ask(base, shared.faulty("cut-body")))


def check_stream_error(base):
    def action():
        messages = [{"role": "user", "content": shared.faulty("error-event; after=4")}]
        with client(base).messages.stream(model=MODEL, max_tokens=500, messages=messages) as stream:
            stream.until_done()

    error = shared.raises(anthropic.APIStatusError, action)
    assert "overloaded" in str(error)


def check_retry_succeeds(base):
    patient = client(base, max_retries=2)
    messages = [{"role": "user", "content": shared.faulty("429; retry-after-ms=20; times=2")}]
    message = patient.messages.create(model=MODEL, max_tokens=500, messages=messages)
    assert message.content[0].text.startswith(shared.MARK)


def check_split_characters(base):
    messages = [{"role": "user", "content": shared.faulty("split-utf8")}]
    with client(base).messages.stream(model=MODEL, max_tokens=2000, messages=messages) as stream:
        text = "".join(stream.text_stream)
    assert "애견호텔" in text and "�" not in text

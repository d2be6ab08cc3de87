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


def requests(orders):
    return [
        {
            "custom_id": id,
            "params": {
                "model": MODEL,
                "max_tokens": 2000,
                "system": shared.ROLE,
                "messages": [{"role": "user", "content": text}],
            },
        }
        for id, text in orders.items()
    ]


def ended(batches, id):
    return shared.until(lambda: batches.retrieve(id), lambda batch: batch.processing_status == "ended")


def check_batch_from_create_to_delete(base):
    batches = client(base).messages.batches
    orders = shared.orders(25)
    created = batches.create(requests=requests(orders))
    assert created.processing_status == "in_progress" and created.request_counts.processing == 25
    assert created.results_url is None and created.ended_at is None
    shared.raises(anthropic.AnthropicError, lambda: batches.results(created.id))
    batch = ended(batches, created.id)
    assert batch.request_counts.succeeded == 25 and batch.request_counts.processing == 0
    assert batch.results_url.startswith(base) and batch.expires_at > batch.created_at
    found = {line.custom_id: line.result for line in batches.results(batch.id)}
    assert list(found) != list(orders) and set(found) == set(orders)
    for id, result in found.items():
        assert result.type == "succeeded" and orders[id] in result.message.content[0].text
        assert result.message.usage.service_tier == "batch"
    plain = ask(base, orders["item-003"])
    assert plain.content[0].text == found["item-003"].message.content[0].text
    assert batches.delete(batch.id).type == "message_batch_deleted"
    shared.raises(anthropic.NotFoundError, lambda: batches.retrieve(batch.id))


def check_batch_cancel(base):
    batches = client(base).messages.batches
    slow = {"x-emulate": "batch-slow; ms=4000"}
    created = batches.create(requests=requests(shared.orders(5)), extra_headers=slow)
    shared.raises(anthropic.BadRequestError, lambda: batches.delete(created.id))
    assert batches.cancel(created.id).processing_status == "canceling"
    batch = ended(batches, created.id)
    assert batch.request_counts.canceled == 5 and batch.cancel_initiated_at
    assert {line.result.type for line in batches.results(batch.id)} == {"canceled"}


def check_batch_list(base):
    batches = client(base).messages.batches
    made = [batches.create(requests=requests(shared.orders(1))).id for _ in range(5)]
    listed = [batch.id for batch in batches.list(limit=2)]
    assert listed[:5] == made[::-1], listed
    page = batches.list(limit=2, before_id=made[1])
    assert [batch.id for batch in page.data] == [made[3], made[2]] and page.has_more


def check_batch_errors_of_items(base):
    batches = client(base).messages.batches
    orders = {"bad": shared.ORDER, "busy": shared.faulty("529"), "good": shared.ORDER}
    wanted = requests(orders)
    wanted[0]["params"]["max_tokens"] = 0
    batch = ended(batches, batches.create(requests=wanted).id)
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (1, 2)
    found = {line.custom_id: line.result for line in batches.results(batch.id)}
    assert found["bad"].error.error.type == "invalid_request_error"
    assert found["busy"].error.error.type == "overloaded_error"


def check_batch_refused(base):
    batches = client(base).messages.batches
    twice = requests(shared.orders(1)) * 2
    shared.raises(anthropic.BadRequestError, lambda: batches.create(requests=twice))
    shared.raises(anthropic.BadRequestError, lambda: batches.create(requests=[]))
    shared.raises(anthropic.NotFoundError, lambda: batches.retrieve("msgbatch_none"))
    limited = {"x-emulate": "429; retry-after=7"}
    action = lambda: batches.create(requests=requests(shared.orders(1)), extra_headers=limited)
    assert shared.raises(anthropic.RateLimitError, action).response.headers["retry-after"] == "7"

//! What templates see, and the functions they have.

use crate::desk::Desk;
use domain::task::Cause;
use serde_json::{Value, json};

/// Renders one template as the report of an order whose only step gave `data`.
fn render(template: &str, data: Value, description: &str) -> String {
    let mut desk =
        Desk::new(&format!("report = '''{template}'''\n[[step]]\nid = \"x\"\nagent = \"a\"\nprompt = \"p\"\n"));
    (desk.order.title, desk.order.description) = ("제목".to_owned(), description.to_owned());
    desk.go().done("x", "", data);
    desk.report().to_owned()
}

#[test]
fn a_department_is_chosen_by_name_then_by_keywords_then_by_place() {
    let choose = |data: Value, text: &str| {
        let template = "{% set d = department((steps.x.data or {}).department, order) %}{{ d.name }} {{ d.how }}";
        render(template, data, text)
    };
    let named = |name: &str| json!({ "department": name });
    for (data, text, chosen) in [
        (named("marketing"), "", "marketing classifier"),
        (named(" Marketing\n"), "", "marketing classifier"),
        (named("마케팅"), "가격", "marketing classifier"),
        // Decomposed Hangul, as macOS writes it.
        (named("\u{1106}\u{1161}\u{110f}\u{1166}\u{1110}\u{1175}\u{11bc}"), "", "marketing classifier"),
        (named("unsure"), "가격 이야기", "finance keywords"),
        (named("unsure"), "겨울 예약을 늘릴 방법", "marketing keywords"),
        (named(""), "prices, PRICE and bookings", "finance keywords"),
        (json!(null), "비용보다 예약이, 예약이", "marketing keywords"),
        (json!({ "department": null }), "\u{110b}\u{1168}\u{110b}\u{1163}\u{11a8}", "marketing keywords"),
        (json!({ "department": 7 }), "seo를 부탁해", "marketing keywords"),
        (json!({}), "museology and priceless things", "finance default"),
        (json!({}), "예약 가격", "finance keywords"),
    ] {
        assert_eq!(choose(data.clone(), text), chosen, "{data} {text}");
    }
}

#[test]
fn all_parts_of_a_department_are_there() {
    let template = "{% set d = department(none, 'SEO') %}{{ d.title }}|{{ d.purpose }}|{{ d.head }}|{{ d.specialists | join(',') }}|{{ d.how }}\
                    |{{ specialists | join(',') }}|{% for department in departments %}{{ department.name }} {% endfor %}|{{ department().name }}";
    assert_eq!(
        render(template, Value::Null, ""),
        "마케팅|marketing things|mar|b,c|keywords|a,b,c|finance marketing |finance"
    );
}

#[test]
fn steps_show_what_their_tasks_gave() {
    let mut desk = Desk::new(
        r#"
report = '''
{%- for step in [steps.good, steps.bad, steps.run] -%}
{{ step.state }}/{{ step.agent }}/{{ step.title }}/{{ step.text }}/{{ step.data if step.data else '-' }}/{{ step.reason }};
{%- endfor %} {{ steps.crew.state }}:
{%- for answer in steps.crew.answers %} {{ answer.agent }}={{ answer.title }}={{ answer.text }}={{ answer.data }}{% endfor %} but
{%- for lost in steps.crew.failed %} {{ lost.agent }}={{ lost.title }}={{ lost.reason }}{% endfor %}'''
[[step]]
id = "good"
agent = "a"
prompt = "p"
[[step]]
id = "bad"
agent = "b"
prompt = "p"
tolerate = "all"
[[step]]
id = "run"
kind = "command"
script = "ls"
[[step]]
id = "crew"
agents = ["c", "a", "b"]
prompt = "p"
tolerate = "some"
"#,
    );
    desk.go().done("good", "좋은 답", json!({ "n": 1 })).fail("bad", "모름");
    desk.result("run", json!({ "exit_code": 3, "stdout": "out", "text": "out" }));
    desk.done("crew[2]", "B", json!([1])).fail("crew[1]", "x").done("crew[0]", "C", Value::Null);
    assert_eq!(
        desk.report(),
        r#"completed/a/가/좋은 답/{'n': 1}/;failed/b/나//-/모름;completed///out/{'exit_code': 3, 'stdout': 'out', 'text': 'out'}/; completed: c=다=C=None b=나=B=[1] but a=가=x"#
    );
}

#[test]
fn texts_are_cut_and_quoted_by_character() {
    assert_eq!(render("{{ order.description | truncate_chars(4) }}", Value::Null, "가나다라마"), "가나다…");
    assert_eq!(render("{{ order.description | truncate_chars(5) }}", Value::Null, "가나다라마"), "가나다라마");
    assert_eq!(render("{{ order.description | truncate_chars(0) }}", Value::Null, "가"), "");
    assert_eq!(render("{{ order.description | quote_block }}", Value::Null, "가\n\n# 나"), "> 가\n> \n> # 나");
}

#[test]
fn what_was_ordered_is_never_read_as_a_template() {
    assert_eq!(
        render("{{ order.description }}", Value::Null, "{{ 1 + 1 }} {% raw %} <b>&amp;"),
        "{{ 1 + 1 }} {% raw %} <b>&amp;"
    );
}

#[test]
fn agents_of_the_order_are_asked() {
    let book = "report = \"{{ order.agents | join('+') }}\"\n[[step]]\nid = \"x\"\nfor_each = \"order.agents or ['a']\"\nagent = \"{{ item }}\"\nprompt = \"{{ order.text }}\"\n";
    let mut desk = Desk::new(book);
    desk.go();
    assert_eq!(desk.shown(), "x[0] queued");
    let mut desk = Desk::new(book);
    desk.order.agents = vec!["c".to_owned(), "nobody".to_owned(), "b".to_owned()];
    desk.go();
    assert_eq!(desk.shown(), "x[0] queued, x[1] failed, x[2] queued");
    assert_eq!(desk.failure("x[1]").cause, Cause::Unsupported);
    desk.done("x[0]", "", Value::Null).done("x[2]", "", Value::Null);
    assert_eq!(desk.failed().reason, "step `x` failed: there is no agent \"nobody\" in the roster");
}

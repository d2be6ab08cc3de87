//! Templates that would take all memory are stopped, at load or when they are rendered.

use super::Engine;
use minijinja::Value;

fn render(source: &str) -> Result<String, String> {
    let mut engine = Engine::new();
    let (text, _) = engine.text("test", source).map_err(|misfit| format!("{}: {}", misfit.line, misfit.reason))?;
    let long = "겨울 예약\n".repeat(20_000);
    let context = Value::from_pairs([("word", Value::from("개")), ("long", Value::from(long))]);
    engine.render(&text, &context)
}

#[test]
fn what_grows_without_end_is_stopped() {
    let doubling = format!("{{% set x = long %}}{}", "{% set x = x ~ x %}".repeat(40));
    let nested = format!("{{% set x = [long] %}}{}{{{{ x | string | length }}}}", "{% set x = [x, x] %}".repeat(40));
    let stopped = [
        doubling.as_str(),
        nested.as_str(),
        "{% set x = word * 99999 %}{% set x = x * 99999 %}{{ x | length }}",
        "{{ long | indent(100000) | length }}",
        "{{ long | indent(width=100000) | length }}",
        "{{ long | replace('\n', long) | length }}",
        "{{ long | replace('', long) | length }}",
        "{{ range(1000) | join(long) | length }}",
        "{{ range(1000) | join(d=long) | length }}",
        "{{ '%0999999999d' | format(1) }}",
        "{{ '%*d' | format(999999999, 1) }}",
        "{{ [1] | batch(999999999, word) | length }}",
        "{{ [1] | slice(999999999) | list | length }}",
        "{{ [long] | tojson(indent=999999999) }}",
        "{{ word * 999999999 }}",
        "{{ word * 999 * 999 * 999 }}",
        "{% for x in [long ~ long] %}{{ x }}{% endfor %}",
        "{% with x = long * 9 %}{{ x }}{% endwith %}",
        "{% filter upper %}{% for i in range(90000) %}{{ long }}{% endfor %}{% endfilter %}",
        "{% set x %}{% for i in range(90000) %}{{ long }}{% endfor %}{% endset %}",
        "{% set n = namespace(x=long) %}{% for i in range(90) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% for i in range(90000) %}{{ long }}{% endfor %}",
    ];
    for source in stopped {
        let shown: String = source.chars().take(80).collect();
        assert!(render(source).is_err(), "{shown} is rendered");
    }
    let many = format!("{{{{ {} }}}}", ["long"; 100].join(" ~ "));
    assert!(render(&many).unwrap_err().contains("at most 64"), "{:?}", render(&many));
}

#[test]
fn what_people_write_is_rendered_as_before() {
    let table = [
        ("{% set x = 'a' ~ \"b=%}\" -%}  {{ x }}", "ab=%}"),
        ("{%- set a, b = 1, 'x' %}{{ a }}{{ b }}", "1x"),
        ("{% set x = word if word == '개' else 'no' %}{{ x * 3 }}", "개개개"),
        ("{% set total = 1 + 2 * 3 %}{{ total }}", "7"),
        ("{% raw %}{% set x %}{{ y }}{% endraw %}{{ word }}", "{% set x %}{{ y }}개"),
        ("{# {% filter x %} #}{{ ['a', 'b'] | join(', ') }}", "a, b"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ 'a-b' | replace('-', '+') }}", "a+b"),
        ("{{ '%05.1f' | format(2.25) }}", "002.2"),
        ("{{ range(5) | batch(2) | list | length }}", "3"),
        ("{{ {'a': [1]} | tojson }}", "{\"a\": [1]}"),
        ("{% for x in ['a~b', 'c'] %}{{ x }}{% endfor %}", "a~bc"),
    ];
    for (source, text) in table {
        assert_eq!(render(source).as_deref(), Ok(text), "{source}");
    }
}

#[test]
fn a_refusal_names_its_line() {
    let refused = render("하나\n둘\n{% filter upper %}셋{% endfilter %}").unwrap_err();
    assert!(refused.starts_with("3: "), "{refused}");
}

//! What a playbook may say, and how each thing it may not say is refused: file, line, reason.
#![expect(clippy::panic, reason = "tests stop at the first surprise")]

use domain::{
    pace::Pace,
    playbook::{Playbook, Tolerate},
    task::Kind,
};
use std::time::Duration;

/// One sound step, to be followed by lines that spoil it; it takes lines 2 to 5.
const A: &str = "name = \"p\"\n[[step]]\nid = \"a\"\nagent = \"x\"\nprompt = \"hi\"\n";

fn check(text: &str, line: usize, reason: &str) {
    let refused = Playbook::parse("p.toml", text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    assert!(refused.reason.contains(reason), "{refused}\nwanted: {reason}\n{text}");
    assert_eq!(refused.line, line, "{refused}\n{text}");
    assert!(!refused.reason.contains('\n'), "one line: {refused}");
    assert!(refused.to_string().starts_with(&format!("p.toml:{line}: ")), "{refused}");
}

/// A step as it should be, and one line that spoils it, on line 6.
const SPOILED: &[(&str, usize, &str)] = &[
    ("colour = 1", 6, "unknown key `colour`; known are id, title"),
    ("tools = []", 6, "`tools` is a word of playbooks that is not served yet"),
    ("budget = \"1\"", 6, "`budget` is a word of playbooks that is not served yet"),
    ("approve = true", 6, "`approve` is a word of playbooks that is not served yet"),
    ("title = 1", 6, "`title` must be a string, not a whole number"),
    ("needs = \"b\"", 6, "`needs` must be a list of strings, not a string"),
    ("needs = [1]", 6, "`needs` must be a list of strings, not a whole number"),
    ("needs = [\n  \"b\"]", 7, "needs `b`, which is not a step"),
    ("needs = [\"a\"]", 6, "circle: a → a"),
    ("agents = [\"y\"]", 4, "`agents` stands for `agent` and `for_each`"),
    ("script = \"ls\"", 6, "`script` does not belong to the kind `ask`"),
    ("kind = \"approval\"", 6, "the kind `approval` is not served in a playbook yet"),
    ("kind = \"open\"", 6, "the kind `open` is not served"),
    ("kind = \"asks\"", 6, "\"asks\" is not one of plan, ask"),
    ("kind = \"command\"", 5, "`prompt` does not belong to the kind `command`"),
    ("repeatable = true", 6, "`repeatable` belongs to commands"),
    ("repeatable = \"yes\"", 6, "`repeatable` must be true or false"),
    ("timeout = 0", 6, "more than 0 and at most 24 h"),
    ("timeout = \"25h\"", 6, "more than 0 and at most 24 h"),
    ("timeout = \"10 minutes\"", 6, "`timeout` must be"),
    ("timeout = \"99999999999999999999h\"", 6, "`timeout` must be"),
    ("timeout = -3", 6, "`timeout` must be"),
    ("timeout = 1.5", 6, "`timeout` must be"),
    ("retry = 11", 6, "from 0 to 10, not 11"),
    ("retry = -1", 6, "from 0 to 10, not -1"),
    ("pace = \"soon\"", 6, "\"soon\" is not one of now, flex, batch, auto"),
    ("tolerate = \"most\"", 6, "not one of none, some, all"),
    ("fallback = \"flex\"", 6, "not one of now, none"),
    ("schema = 3", 6, "must be a table"),
    ("schema = \"{\\\"type\\\": \"", 6, "not JSON"),
    ("schema = '''\n{\"type\":\n  nonsense}'''", 8, "not JSON"),
    ("schema = { type = \"objekt\" }", 6, "not a valid JSON Schema"),
    ("schema = { \"$ref\" = \"https://example.com/s.json\" }", 6, "not a valid JSON Schema"),
    ("schema = { since = 1979-05-27 }", 6, "no dates"),
    ("when = \"order.title ==\"", 6, "`when`: syntax error"),
    ("when = \"orders.title\"", 6, "`orders` is not defined"),
    ("when = \"item\"", 6, "`item` is only there in a step with `for_each`"),
    ("for_each = \"{'a': 1}[\"", 6, "`for_each`: syntax error"),
    ("for_each = \"3\"", 6, "is not a list"),
    ("for_each = \"order.people\"", 6, "`order` has no `people`; it has title, description, text, agents"),
    ("title = \"{{ agent.age }}\"", 6, "`agent` has no `age`"),
    ("title = \"{% include 'x' %}\"", 6, "unknown statement include"),
    ("[[step]]\nid = \"a\"\nagent = \"x\"\nprompt = \"p\"", 6, "the step `a` is there twice"),
    ("[[step]]\nid = \"B\"\nagent = \"x\"\nprompt = \"p\"", 7, "is not a step's id"),
    ("[[step]]\nid = \"1b\"\nagent = \"x\"\nprompt = \"p\"", 7, "a letter first"),
    ("[[step]]\nid = \"deliver\"\nagent = \"x\"\nprompt = \"p\"", 7, "no step may be called `deliver`"),
    ("[[step]]\nagent = \"x\"\nprompt = \"p\"", 6, "step 2: `id` is missing"),
    ("[[step]]\nid = \"b\"\nprompt = \"p\"", 6, "`agent` is missing: an ask names who answers"),
    ("[[step]]\nid = \"b\"\nagent = \"x\"", 6, "`prompt` is missing"),
    ("[[step]]\nid = \"b\"\nagent = \"x\"\nprompt = \" \\n\"", 9, "`prompt` is empty"),
    ("[[step]]\nid = \"b\"\nagent = \"Der Chef\"\nprompt = \"p\"", 8, "\"Der Chef\" is not an agent's name"),
    ("[[step]]\nid = \"b\"\nagents = []\nprompt = \"p\"", 6, "`agents` is empty"),
    ("[[step]]\nid = \"b\"\nagents = [\"x\",\n\"x\"]\nprompt = \"p\"", 9, "or is there twice"),
    (
        "[[step]]\nid = \"b\"\nkind = \"command\"\nscript = \"ls\"\nagent = \"x\"",
        10,
        "`agent` does not belong to a command",
    ),
    (
        "[[step]]\nid = \"b\"\nkind = \"command\"\nscript = \"ls\"\nretry = 1",
        10,
        "`retry` does not belong to a command",
    ),
    (
        "[[step]]\nid = \"b\"\nkind = \"command\"\nscript = \"{{ agent.name }}\"",
        9,
        "`agent` is only there in the prompt",
    ),
    (
        "[[step]]\nid = \"b\"\nagent = \"x\"\nprompt = \"{{ steps.a.text }}\"",
        9,
        "the step `a` is not among the steps needed",
    ),
    (
        "[[step]]\nid = \"b\"\nneeds = [\"a\"]\nagent = \"x\"\nprompt = \"{{ steps.c.text }}\"",
        10,
        "there is no step `c`",
    ),
    (
        "[[step]]\nid = \"b\"\nneeds = [\"a\"]\nagent = \"x\"\nprompt = \"{{ steps.a.answers }}\"",
        10,
        "`steps.a` has no `answers`; it has text",
    ),
    ("[[step]]\nid = \"b\"\nneeds = [\"a\", \"a\"]\nagent = \"x\"\nprompt = \"p\"", 8, "needs `a` twice"),
];

#[test]
fn every_refusal_names_its_line_and_reason() {
    for (more, line, reason) in SPOILED {
        check(&format!("{A}{more}\n"), *line, reason);
    }
    let whole: &[(&str, usize, &str)] = &[
        ("", 1, "`name` is missing"),
        ("name = \"p\"", 1, "there is no [[step]]"),
        ("name = \"p\"\nstep = []", 1, "there is no [[step]]"),
        ("name = \"p\"\nstep = 3", 2, "`step` must be one or more [[step]] tables"),
        ("name = \"My Plan\"", 1, "is not a name"),
        ("name = \"p\"\nname = \"q\"", 2, "not valid TOML: duplicate key"),
        ("name = \"p\"\n\nx = [", 3, "not valid TOML"),
        ("name = \"p\"\nversion = 2", 2, "unknown key `version`; known are name, description, report, step"),
        ("name = \"p\"\n[[steps]]", 2, "`steps` is spelled [[step]]"),
    ];
    for (text, line, reason) in whole {
        check(text, *line, reason);
    }
}

#[test]
fn a_cycle_is_named_with_its_path() {
    let step = |id: &str, need: &str| {
        format!("[[step]]\nid = \"{id}\"\nagent = \"x\"\nprompt = \"p\"\nneeds = [\"{need}\"]\n")
    };
    let text = format!("{A}{}{}{}{}", step("b", "d"), step("c", "b"), step("d", "c"), step("e", "d"));
    check(&text, 10, "circle: b → d → c → b (each needs the next)");
}

#[test]
fn a_bad_template_is_refused_at_its_line_of_the_file() {
    let prompt = |prompt: &str| format!("name = \"p\"\n[[step]]\nid = \"a\"\nagent = \"x\"\nprompt = {prompt}\n");
    for (text, line, reason) in [
        ("\"{{ order.text \"", 5, "`prompt`: syntax error"),
        ("\"\"\"\n첫째 줄\n둘째 줄 {{ order.txt }}\n\"\"\"", 7, "`order` has no `txt`"),
        ("\"\"\"첫째 줄\n{% if %}\n\"\"\"", 6, "`prompt`: syntax error"),
        ("'''\na\nb\n{{ order.text | shout }}'''", 8, "there is no filter `shout`"),
        ("\"\"\"\none \\\n   \n   continued\n{{ x }}\"\"\"", 9, "`x` is not defined"),
        ("\"one\\ntwo {{ x }}\"", 5, "`x` is not defined"),
        ("\"\"\"a\\n\\n{{ order.text is fancy }}\"\"\"", 5, "there is no test `fancy`"),
        ("\"{{ order.text is not fancy }}\"", 5, "there is no test `fancy`"),
        ("\"{{ shout(order) }}\"", 5, "`shout` is not defined"),
        ("\"{{ steps.a.text }}\"", 5, "the step `a` is not among the steps needed"),
    ] {
        check(&prompt(text), line, reason);
    }
    check(&format!("report = \"\"\"\n{{{{ steps.b.text }}}}\"\"\"\n{A}"), 2, "there is no step `b`");
    // What looks like a filter or a test and is none.
    for fine in [
        "{{ order.text | truncate_chars(3) | quote_block }}",
        "{{ 'a | nothing' }} x | nothing {# | nothing #} this is nothing",
        "{% if order.text is not none and order.title is string %}is it{% endif %}",
        "{% raw %}{{ x | nothing }}{% endraw %}",
        "{% for name in order.agents %}{{ loop.index }}{{ name | upper }}{% else %}-{% endfor %}",
        "{% set x = namespace(n=0) %}{{ range(3) | list }}{{ x.n }}",
    ] {
        Playbook::parse("p", &prompt(&format!("\"{fine}\""))).unwrap();
    }
}

#[test]
fn steps_come_needs_first_and_keep_what_they_say() {
    let text = r#"
name = "full"
description = "설명"
[[step]]
id = "last"
needs = ["first", "run"]
agent = "{{ 'x' }}"
prompt = "{{ steps.first.answers | length }} {{ steps.run.data.exit_code }}"
schema = '{"type": "object"}'
when = "steps.run.state == 'completed'"
pace = "batch"
retry = 0
timeout = 45
tolerate = "all"
[[step]]
id = "run"
kind = "command"
script = "ls"
repeatable = true
timeout = "2h"
[[step]]
id = "first"
agents = ["x", "y"]
prompt = "p"
schema = { type = "object", properties = { n = { type = "number", maximum = 1.5 } } }
"#;
    let book = Playbook::parse("full.toml", text).unwrap();
    let ids: Vec<&str> = book.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["run", "first", "last"]);
    assert_eq!(book.description, "설명");
    // The default report is the text of the step that the file has last.
    assert!(book.report.contains("steps.first.answers"), "{}", book.report);
    let last = &book.steps[2];
    assert_eq!((last.kind, last.pace, last.retry, last.tolerate), (Kind::Ask, Some(Pace::Batch), 0, Tolerate::All));
    assert_eq!((last.timeout, last.title.as_str()), (Duration::from_secs(45), "last"));
    assert_eq!(last.schema, Some(serde_json::json!({ "type": "object" })));
    let run = &book.steps[0];
    assert_eq!((run.kind, run.repeatable, run.timeout, run.retry), (Kind::Command, true, Duration::from_secs(7200), 0));
    let first = &book.steps[1];
    assert_eq!((first.for_each.as_deref(), first.agent.as_deref()), (Some(r#"["x","y"]"#), Some("{{ item }}")));
    assert_eq!((first.timeout, first.retry), (Duration::from_secs(600), 2));
    assert_eq!(first.schema.as_ref().unwrap()["properties"]["n"]["maximum"], 1.5);
    assert_eq!(book, Playbook::parse("elsewhere.toml", text).unwrap());
    assert_eq!(book.position("first"), Some(1));
    let single = Playbook::parse("p", A).unwrap();
    assert_eq!(single.report, "{{ steps.a.text }}");
}

#[test]
fn too_much_is_refused() {
    let many: String = (0..101).map(|n| format!("[[step]]\nid = \"s{n}\"\nagent = \"x\"\nprompt = \"p\"\n")).collect();
    check(&format!("name = \"p\"\n{many}"), 402, "at most 100 steps");
    check(&format!("{A}# {}\n", "한".repeat(400_000)), 1, "longer than");
    // Nesting is bounded, not a stack overflow.
    let deep = format!("{A}title = \"{{{{ {}1{} }}}}\"\n", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Playbook::parse("p", &deep).is_err());
}

//! Rosters, answers and money: what is read, what is refused, what is counted.

use domain::{
    money::{Dated, Factor, Nanos, Price, PriceError, PriceList, Tier, Usage, cost},
    playbook::Playbook,
    roster::Roster,
    schema::{check, extract_json},
};
use serde_json::json;
use time::macros::date;

const AGENT: &str = "[[agents]]\nname = \"x\"\nsystem = \"s\"\nmodels = [\"openai/gpt\"]\n";

#[test]
fn a_roster_is_read_and_refused_by_line() {
    let sound = format!(
        "{AGENT}{}[[departments]]\nname = \"d\"\ntitle = \"부서\"\npurpose = \"p\"\nhead = \"x\"\nspecialists = [\"y\"]\nkeywords = [\"예약\"]\n",
        AGENT.replace("\"x\"", "\"y\"")
    );
    let roster = Roster::parse("agents.toml", &sound).unwrap();
    assert_eq!(roster.agent("x").unwrap().title, "x");
    assert_eq!(roster.agent("x").unwrap().max_tokens, 4096);
    assert_eq!(roster.department("d").unwrap().title, "부서");
    assert_eq!(roster.department_of("y").unwrap().name, "d");
    assert!(roster.agent("z").is_none() && roster.department("e").is_none() && roster.department_of("z").is_none());

    let department =
        |more: &str| format!("{AGENT}[[departments]]\nname = \"d\"\ntitle = \"t\"\npurpose = \"p\"\n{more}\n");
    for (text, line, reason) in [
        (String::new(), 1, "there is no [[agents]]"),
        (format!("{AGENT}age = 3"), 5, "unknown key `age`; known are name, title, system, models, max_tokens"),
        (format!("{AGENT}{AGENT}"), 5, "the agent `x` is there twice"),
        (AGENT.replace("\"x\"", "\"X y\""), 2, "is not a name"),
        (AGENT.replace("\"x\"", "7"), 2, "`name` must be a string"),
        (AGENT.replace("\"s\"", "\" \""), 3, "`system` is empty"),
        (AGENT.replace("system = \"s\"\n", ""), 1, "`system` is missing"),
        (AGENT.replace("[\"openai/gpt\"]", "[]"), 1, "names no model"),
        (AGENT.replace("\"openai/gpt\"", "\"openai/gpt\",\n\"gpt-4\""), 5, "\"gpt-4\" is not `provider/model`"),
        (AGENT.replace("openai/gpt", "openai/ gpt"), 4, "is not `provider/model`"),
        (format!("{AGENT}max_tokens = 0"), 5, "from 1 to 1000000, not 0"),
        (department("head = \"z\"\nspecialists = [\"x\"]"), 9, "names the agent `z`, which is not among"),
        (department("head = \"x\"\nspecialists = [\"x\", \"z\"]"), 10, "names the agent `z`"),
        (department("head = \"x\"\nspecialists = []"), 5, "`specialists` names nobody"),
        (department("head = \"x\"\nspecialists = [\"x\", \"x\"]"), 10, "names `x` twice"),
        (department("head = \"x\"\nspecialists = [\"x\"]\nkeywords = [\" \"]"), 11, "a keyword is empty"),
        (format!("{AGENT}[[team]]"), 5, "unknown key `team`"),
    ] {
        let refused = Roster::parse("agents.toml", &text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
        assert!(refused.reason.contains(reason), "{refused}\nwanted: {reason}");
        assert_eq!(refused.line, line, "{refused}\n{text}");
    }

    let book = |agent: &str| {
        Playbook::parse("p", &format!("name = \"p\"\n[[step]]\nid = \"a\"\n{agent}\nprompt = \"p\"\n")).unwrap()
    };
    roster.check_playbook(&book("agents = [\"x\", \"y\"]")).unwrap();
    // A template decides when it is rendered.
    roster.check_playbook(&book("agent = \"{{ order.agents[0] }}\"")).unwrap();
    for (agent, name) in [("agent = \"z\"", "z"), ("agents = [\"x\", \"zz\"]", "zz")] {
        let unknown = roster.check_playbook(&book(agent)).unwrap_err();
        assert_eq!((unknown.step.as_str(), unknown.agent.as_str()), ("a", name));
        assert!(unknown.to_string().contains("is not in the roster"), "{unknown}");
    }
}

#[test]
fn json_is_found_in_an_answer() {
    let found = json!({ "department": "마케팅", "reason": "예약 } 이야기" });
    let plain = found.to_string();
    for text in [
        plain.clone(),
        format!("  \n{plain}\n"),
        format!("\u{feff}{plain}"),
        format!("```json\n{plain}\n```"),
        format!("네, 답입니다:\n```\n{plain}\n```\n감사합니다."),
        format!("```{plain}```"),
        format!("Here it is: {plain} — I hope {{this}} helps {{}}"),
        format!("Like {{\"a\": 1}}, so: {plain}"),
        format!("```text\nno json\n```\nand\n```json\n{plain}\n```"),
        format!("{{{{{{ {plain}"),
    ] {
        assert_eq!(extract_json(&text), Some(found.clone()), "{text}");
    }
    assert_eq!(extract_json("the list is [1, 2, 3]."), Some(json!([1, 2, 3])));
    assert_eq!(extract_json(" 42 "), Some(json!(42)));
    for none in ["", "no", "{", "{\"a\": ", "모르겠습니다", "```json\n{\n```"] {
        assert_eq!(extract_json(none), None, "{none}");
    }
    // Bounded, whatever a model writes.
    assert_eq!(extract_json(&"{\"a\":".repeat(100_000)), None);
    assert_eq!(extract_json(&"[".repeat(100_000)), None);
}

#[test]
fn a_misfit_is_told_in_one_line() {
    let schema = json!({
        "type": "object",
        "properties": { "verdict": { "enum": ["sound", "flawed"] }, "list": { "items": { "type": "string" } } },
        "required": ["verdict"],
        "additionalProperties": false,
    });
    check(&schema, &json!({ "verdict": "sound", "list": ["가"] })).unwrap();
    for (value, place, what) in [
        (json!({}), "the answer", "verdict"),
        (json!({ "verdict": "좋음" }), "/verdict", "좋음"),
        (json!({ "verdict": "sound", "list": ["a", 2] }), "/list/1", "string"),
        (json!({ "verdict": "sound", "x\ny": 1 }), "the answer", "x"),
        (json!([]), "the answer", "object"),
        (json!({ "verdict": "한".repeat(5_000) }), "/verdict", "한"),
    ] {
        let reason = check(&schema, &value).unwrap_err();
        assert!(reason.starts_with(place) && reason.contains(what), "{reason}");
        assert!(!reason.contains('\n') && reason.chars().count() <= 301, "{reason}");
    }
    assert!(check(&json!({ "type": "objekt" }), &json!({})).unwrap_err().contains("not a valid JSON Schema"));
    assert!(check(&json!({ "$ref": "file:///etc/passwd" }), &json!({})).is_err());
}

#[test]
fn prices_are_read_without_floats() {
    for (text, picos) in
        [("0", 0), ("3", 3_000_000), ("0.25", 250_000), ("0.000001", 1), ("1000000", 1_000_000_000_000)]
    {
        assert_eq!(Price::picos(text), Ok(picos), "{text}");
    }
    for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "1,5", "1000000.1", "99999999", "삼", " 1"] {
        assert_eq!(Price::picos(bad), Err(PriceError::NotADecimal(bad.to_owned())), "{bad}");
    }
    let price: Price = serde_json::from_value(
        json!({ "input": "3", "cache_read": "0.3", "cache_write": "3.75", "cache_write_hour": "6", "output": "15" }),
    )
    .unwrap();
    assert_eq!((price.input, price.cache_write, price.output), (3_000_000, 3_750_000, 15_000_000));
    assert_eq!(serde_json::to_value(price).unwrap()["cache_write"], "3.75");
    assert!(serde_json::from_value::<Price>(json!({ "input": 3.0 })).is_err());
}

#[test]
fn cost_is_rounded_once_and_half_up() {
    let price = Price {
        input: 3_000_000,
        cache_read: 300_000,
        cache_write: 3_750_000,
        cache_write_hour: 6_000_000,
        output: 15_000_000,
    };
    let usage = Usage { input: 100, cache_read: 1_000, cache_write: 10, cache_write_hour: 1, output: 50 };
    // 300,000 + 300,000 + 37,500 + 6,000 + 750,000 nano-dollars
    assert_eq!(cost(&usage, &price, Factor::FULL), Nanos(1_393_500));
    assert_eq!(cost(&usage, &price, Factor::HALF), Nanos(696_750));
    let tiny = |picos, num, den| {
        let price = Price { input: picos, ..Price::default() };
        cost(&Usage { input: 1, ..Usage::default() }, &price, Factor { num, den }).0
    };
    for (picos, num, den, nanos) in [
        (499, 1, 1, 0),
        (500, 1, 1, 1),
        (999, 1, 2, 0),
        (1_000, 1, 2, 1),
        (1_500, 1, 1, 2),
        (1_000, 2, 3, 1),
        (9, 1, 0, 0),
    ] {
        assert_eq!(tiny(picos, num, den), nanos, "{picos} × {num}/{den}");
    }
    // Two halves of a nano-dollar are one: rounding each part would make two of them.
    let half = Price { input: 500, output: 500, ..Price::default() };
    assert_eq!(cost(&Usage { input: 1, output: 1, ..Usage::default() }, &half, Factor::FULL), Nanos(1));
    let most = Usage {
        input: i64::MAX,
        cache_read: i64::MAX,
        cache_write: i64::MAX,
        cache_write_hour: i64::MAX,
        output: i64::MAX,
    };
    let dear = Price {
        input: i64::MAX,
        cache_read: i64::MAX,
        cache_write: i64::MAX,
        cache_write_hour: i64::MAX,
        output: i64::MAX,
    };
    assert_eq!(cost(&most, &dear, Factor { num: u32::MAX, den: 1 }), Nanos(i64::MAX));
    let least = Usage { input: i64::MIN, output: -5, ..Usage::default() };
    assert_eq!(cost(&least, &dear, Factor::FULL), Nanos(0));
    assert_eq!((most.total(), most + most), (i64::MAX, most));
}

#[test]
fn a_price_list_knows_days_and_prompt_sizes() {
    let tier = |above, input| Tier { above, price: Price { input, ..Price::default() } };
    let mut list = PriceList::default();
    list.insert("p/m", Dated { from: date!(2026 - 07 - 01), tiers: vec![tier(0, 2_000), tier(200_000, 4_000)] })
        .unwrap();
    list.insert("p/m", Dated { from: date!(2026 - 01 - 01), tiers: vec![tier(0, 1_000)] }).unwrap();
    let price = |on, prompt| list.price("p/m", on, prompt).map(|price| price.input);
    assert_eq!(price(date!(2025 - 12 - 31), 1), None);
    assert_eq!(price(date!(2026 - 01 - 01), 1), Some(1_000));
    assert_eq!(price(date!(2026 - 06 - 30), 999_999), Some(1_000));
    assert_eq!(price(date!(2026 - 07 - 01), 200_000), Some(2_000));
    assert_eq!(price(date!(2030 - 01 - 01), 200_001), Some(4_000));
    assert_eq!(price(date!(2030 - 01 - 01), 0), Some(2_000));
    // Cached tokens are part of the prompt that picks the tier.
    let usage = Usage { input: 1, cache_read: 200_000, ..Usage::default() };
    assert_eq!(list.cost(&usage, "p/m", date!(2026 - 08 - 01), Factor::FULL), Some(Nanos(4)));
    assert_eq!(list.cost(&usage, "p/other", date!(2026 - 08 - 01), Factor::FULL), None);
    let refused =
        |tiers| list.clone().insert("p/m", Dated { from: date!(2027 - 01 - 01), tiers }).unwrap_err().to_string();
    for tiers in [vec![], vec![tier(1, 1)], vec![tier(0, 1), tier(0, 2)], vec![tier(0, 1), tier(9, 1), tier(5, 1)]] {
        assert!(refused(tiers).contains("must begin at 0 and rise"));
    }
    let twice = list.insert("p/m", Dated { from: date!(2026 - 01 - 01), tiers: vec![tier(0, 1)] });
    assert!(matches!(twice, Err(PriceError::Twice { .. })));
}

#[test]
fn money_is_shown_exactly() {
    for (nanos, shown) in [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (1_234_000, "$0.001234"),
        (10_000_000, "$0.01"),
        (12_500_000_000, "$12.50"),
        (-1_000_000, "-$0.001"),
        (i64::MAX, "$9223372036.854775807"),
        (i64::MIN, "-$9223372036.854775808"),
    ] {
        assert_eq!(Nanos(nanos).to_string(), shown);
    }
    assert_eq!(format!("{:>8}", Nanos(0)), "   $0.00");
    let sum: Nanos = [Nanos(1), Nanos(i64::MAX)].into_iter().sum();
    assert_eq!(sum, Nanos(i64::MAX));
}

//! `chavion budget`: ls, set, rm. `chavion blackout`: ls, end.

use crate::{
    REFUSED,
    args::{BlackoutVerb, BudgetVerb},
    batch::list_of,
    client::{Client, Done, Trouble, done},
    output, table,
    tree::word,
};
use serde_json::{Map, Value, json};

/// Does what the verb says.
pub(crate) async fn run(client: &Client, verb: &BudgetVerb, json: bool) -> Done {
    match verb {
        BudgetVerb::Ls { scope, all, limit, cursor } => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &limit.to_string());
            if !all {
                query.append_pair("live", "true");
            }
            for (name, value) in [("scope", scope), ("cursor", cursor)] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            let page = client.get(&format!("/api/budgets?{}", query.finish())).await?;
            if json {
                output::json(&page);
                return done();
            }
            let rows: Vec<Vec<String>> = list_of(&page, "budgets").iter().map(row).collect();
            if rows.is_empty() {
                output::note("no budgets");
            } else {
                output::say(&table::lay_out(&rows));
            }
            let next = word(&page, "next");
            if !next.is_empty() {
                output::note(&format!("more with: {} budget ls --cursor {next}", output::typed()));
            }
            done()
        }
        BudgetVerb::Set { scope, name, limit, day } => {
            let body = Set::read(scope, name.as_deref(), limit.as_deref(), day.as_deref())?.body();
            let answer = client.post("/api/budgets", &body).await?;
            let said = format!(
                "{}: {} of {} is left{}",
                title(&answer),
                usd(&answer, "left"),
                usd(&answer, "limit"),
                goes_on(&answer)
            );
            output::answer(json, &answer, &said);
            done()
        }
        BudgetVerb::Rm { scope, name, day } => {
            let name = match (scope.as_str(), name.as_deref()) {
                (_, Some(name)) => name,
                ("all", None) => "all",
                (scope, None) => return Err(nameless(scope)),
            };
            let period = if *day { "day" } else { "total" };
            let address = path(&[scope, name, period]);
            let answer = client.delete(&format!("/api/budgets/{address}")).await?;
            output::answer(json, &answer, &format!("{} is removed{}", title(&answer), goes_on(&answer)));
            done()
        }
    }
}

/// Does what the verb about providers that cannot serve says.
pub(crate) async fn blackout(client: &Client, verb: &BlackoutVerb, json: bool) -> Done {
    match verb {
        BlackoutVerb::Ls => {
            let answer = client.get("/api/blackouts").await?;
            let rows = list_of(&answer, "blackouts").iter();
            let rows: Vec<Vec<String>> = rows
                .map(|it| ["provider", "cause", "since", "reason"].map(|field| word(it, field).to_owned()).to_vec())
                .collect();
            if json {
                output::json(&answer);
            } else if rows.is_empty() {
                output::note("every provider serves");
            } else {
                output::say(&table::lay_out(&rows));
            }
        }
        BlackoutVerb::End { provider } => {
            let answer = client.post(&format!("/api/blackouts/{}/end", path(&[provider])), &json!({})).await?;
            output::answer(json, &answer, &format!("{provider} serves again{}", goes_on(&answer)));
        }
    }
    done()
}

/// What `set` was given, read.
#[derive(Debug, PartialEq, Eq)]
struct Set<'a> {
    scope: &'a str,
    name: Option<&'a str>,
    period: &'static str,
    limit: &'a str,
}

impl<'a> Set<'a> {
    fn read(
        scope: &'a str,
        name: Option<&'a str>,
        limit: Option<&'a str>,
        day: Option<&'a str>,
    ) -> Result<Self, Trouble> {
        // `set all 100`: everybody has no name, so the one word is the limit.
        let (name, limit) = match (scope, name, limit) {
            ("all", Some(limit), None) if limit != "all" => (None, Some(limit)),
            given => (given.1, given.2),
        };
        if name.is_none() && scope != "all" {
            return Err(nameless(scope));
        }
        let (period, limit) = match (limit, day) {
            (Some(limit), None) => ("total", limit),
            (None, Some(limit)) => ("day", limit),
            (None, None) => {
                return Err(Trouble::new(REFUSED, "say the limit in dollars, such as 5.00, or --day 20 for each day"));
            }
            (Some(_), Some(_)) => {
                return Err(Trouble::new(
                    REFUSED,
                    "a budget has one limit: in all, or --day; set two budgets for both",
                ));
            }
        };
        Ok(Self { scope, name, period, limit: limit.trim().trim_start_matches('$') })
    }

    fn body(&self) -> Value {
        let fields = [
            ("scope", Some(self.scope)),
            ("name", self.name),
            ("period", Some(self.period)),
            ("limit", Some(self.limit)),
        ];
        Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
                .collect::<Map<_, _>>(),
        )
    }
}

fn nameless(scope: &str) -> Trouble {
    Trouble::new(REFUSED, format!("say which {scope} the budget is for: `budget set {scope} NAME 5.00`"))
}

/// Writes words as the parts of an address.
fn path(parts: &[&str]) -> String {
    let mut url = url::Url::parse("http://x").ok();
    if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        segments.extend(parts);
    }
    url.map(|url| url.path().trim_start_matches('/').to_owned()).unwrap_or_default()
}

fn row(budget: &Value) -> Vec<String> {
    let reserved = budget.pointer("/reserved/nanos").and_then(Value::as_i64).unwrap_or_default();
    let aside = if reserved > 0 { format!("{} set aside", usd(budget, "reserved")) } else { String::new() };
    vec![
        word(budget, "scope").to_owned(),
        word(budget, "name").to_owned(),
        word(budget, "period").to_owned(),
        format!("{} of {} spent", usd(budget, "spent"), usd(budget, "limit")),
        aside,
        word(budget, "title").to_owned(),
    ]
}

fn title(budget: &Value) -> String {
    let each = if word(budget, "period") == "day" { " for each day (UTC)" } else { "" };
    match word(budget, "scope") {
        "all" => format!("the budget{each} for everything"),
        scope => format!("the budget{each} of the {scope} {}", word(budget, "name")),
    }
}

fn usd<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer.get(field).map_or("$0.00", |money| word(money, "usd"))
}

fn goes_on(answer: &Value) -> String {
    match list_of(answer, "released").len() {
        0 => String::new(),
        1 => "; one task that was held goes on".to_owned(),
        more => format!("; {more} tasks that were held go on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_set_is_given_is_read_as_it_is_meant() {
        let read =
            |scope, name, limit, day| Set::read(scope, name, limit, day).map(|set| set.body()).map_err(|it| it.words);
        assert_eq!(
            read("order", Some("id"), Some("5.00"), None).unwrap(),
            json!({ "scope": "order", "name": "id", "period": "total", "limit": "5.00" })
        );
        assert_eq!(
            read("provider", Some("openai"), None, Some("$20")).unwrap(),
            json!({ "scope": "provider", "name": "openai", "period": "day", "limit": "20" })
        );
        for (name, limit) in [(Some("100"), None), (Some("all"), Some("100"))] {
            assert_eq!(read("all", name, limit, None).unwrap()["limit"], "100");
        }
        assert_eq!(
            read("all", None, None, Some("3")).unwrap(),
            json!({ "scope": "all", "period": "day", "limit": "3" })
        );
        assert!(read("agent", None, None, Some("3")).unwrap_err().contains("which agent"));
        assert!(read("agent", Some("bora"), None, None).unwrap_err().contains("--day"));
        assert!(read("agent", Some("bora"), Some("1"), Some("1")).unwrap_err().contains("one limit"));
    }

    #[test]
    fn names_of_strangers_stay_in_their_part_of_the_address() {
        assert_eq!(path(&["agent", "가/../나?", "day"]), "agent/%EA%B0%80%2F..%2F%EB%82%98%3F/day");
    }
}

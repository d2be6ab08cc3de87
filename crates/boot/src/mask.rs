//! Hides the secret parts of what is shown. Refuses to know where it is shown.

use url::Url;

/// What stands in the place of a secret.
pub(crate) const MASK: &str = "***";

/// Words in a query parameter's name that make its value a secret.
const TELLING: [&str; 5] = ["pass", "secret", "token", "key", "auth"];

/// Hides a URL's password and the query parameters that look like one; a text that is no URL is hidden whole.
pub(crate) fn masked_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else {
        return MASK.to_owned();
    };
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    if let Some(query) = url.query() {
        let shown: Vec<String> = query.split('&').map(masked_parameter).collect();
        url.set_query(Some(&shown.join("&")));
    }
    url.to_string()
}

fn masked_parameter(parameter: &str) -> String {
    let (name, _) = parameter.split_once('=').unwrap_or((parameter, ""));
    let lower = name.to_ascii_lowercase();
    if TELLING.iter().any(|word| lower.contains(word)) {
        return format!("{name}={MASK}");
    }
    parameter.to_owned()
}

#[cfg(test)]
mod tests {
    use super::masked_url;

    #[test]
    fn hides_what_is_secret_and_nothing_else() {
        for (text, shown) in [
            ("postgres://chavion:비밀@db:5432/chavion", "postgres://chavion:***@db:5432/chavion"),
            ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
            ("postgres:///chavion?host=/run/postgres", "postgres:///chavion?host=/run/postgres"),
            ("postgres://db/x?user=a&password=hunter2", "postgres://db/x?user=a&password=***"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/"),
            ("hunter2", "***"),
        ] {
            assert_eq!(masked_url(text), shown);
        }
    }
}

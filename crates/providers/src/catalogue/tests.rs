//! The built-in catalogue, and catalogues that are not right.

use super::*;

fn catalogue() -> Catalogue {
    Catalogue::built_in().unwrap()
}

#[test]
fn the_built_in_catalogue_is_right() {
    let catalogue = catalogue();
    let names: Vec<&str> = catalogue.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "anthropic",
            "openai",
            "gemini",
            "mistral",
            "groq",
            "deepseek",
            "openrouter",
            "perplexity",
            "together",
            "xai",
            "ollama",
            "llama-cpp",
            "vllm"
        ]
    );
    for provider in &catalogue.providers {
        for name in provider.models.keys() {
            let key = format!("{}/{name}", provider.name);
            let price = catalogue.prices.price(&key, catalogue.dated, 1).unwrap();
            assert!(price.input > 0 && price.output >= price.input && price.cache_read <= price.input, "{key}");
        }
    }
}

#[test]
fn a_snapshot_is_its_model() {
    let catalogue = catalogue();
    let known = |provider: &str, name: &str| {
        let provider = catalogue.provider(provider).unwrap();
        provider.model(name).map(|(name, _)| name.to_owned())
    };
    assert_eq!(known("anthropic", "claude-haiku-4-5-20251001").unwrap(), "claude-haiku-4-5");
    assert_eq!(known("openai", "gpt-6-luna-2026-10-07").unwrap(), "gpt-6-luna");
    assert_eq!(known("groq", "openai/gpt-oss-120b").unwrap(), "openai/gpt-oss-120b");
    assert_eq!(known("openai", "gpt-6-luna-mini"), None);
    assert_eq!(known("openai", "gpt-6-luna-10-07"), None);
}

const HEAD: &str = "dated = 2026-11-20\n[[provider]]\nname = \"acme\"\nbase_url_variable = \"ACME_BASE_URL\"\n\
    key_variable = \"ACME_API_KEY\"\ndialect = { wire = \"messages\" }\n";

#[test]
fn what_is_not_right_is_named() {
    let model = "[[provider.model]]\nname = \"m\"\n";
    let cases: &[(String, usize, &str, &str, &str)] = &[
        (
            format!("{HEAD}{model}prices = [\n  {{ input = \"1,5\", output = \"2\" }},\n]"),
            10,
            "input",
            "1,5",
            "\"0.25\"",
        ),
        (format!("{HEAD}{model}prices = [{{ input = \"1\", output = 2 }}]"), 9, "output", "integer", "string"),
        (format!("{HEAD}{model}prices = [{{ input = \"1\" }}]"), 9, "output", "missing field `output`", "that field"),
        (
            format!(
                "{HEAD}{model}prices = [\n{{ input = \"1\", output = \"2\" }},\n{{ input = \"1\", output = \"2\" }}]"
            ),
            10,
            "prices",
            "must begin at 0 and rise",
            "`above` rises",
        ),
        (
            format!(
                "{HEAD}{model}prices = [\n{{ input = \"1\", output = \"2\" }},\n{{ from = 2026-10-07, input = \"1\", output = \"2\" }},\n{{ input = \"1\", output = \"2\" }}]"
            ),
            12,
            "prices",
            "two prices",
            "days rising",
        ),
        (
            format!("{HEAD}{model}prices = [{{ from = \"soon\", input = \"1\", output = \"2\" }}]"),
            9,
            "from",
            "string",
            "",
        ),
        (
            format!("{HEAD}{model}prices = [{{ from = 2026-10-07T10:00:00Z, input = \"1\", output = \"2\" }}]"),
            9,
            "from",
            "not a day",
            "2026-11-20",
        ),
        (format!("{HEAD}{model}{model}"), 10, "name", "there already", "one entry"),
        (
            format!("{HEAD}{HEAD}").replacen("dated = 2026-11-20\n", "", 2),
            1,
            "dated",
            "missing field `dated`",
            "that field",
        ),
        (HEAD.replace("\"messages\"", "\"soap\""), 6, "wire", "soap", "chat_completions"),
        (HEAD.replace("\"acme\"", "\"ac/me\""), 3, "name", "slash", "anthropic"),
        (HEAD.replace("\"acme\"", "\"\""), 3, "name", "empty", "without spaces"),
        (format!("{HEAD}base_url = \"https://user:pass@x.example\""), 7, "base_url", "password", "https://"),
        (format!("{HEAD}base_url = \"ftp://x.example\""), 7, "base_url", "http", "https://"),
        (format!("{HEAD}flex = {{ num = 3, den = 2 }}"), 7, "flex", "3/2", "at most 1"),
        (format!("{HEAD}batch_price = {{ num = 1, den = 0 }}"), 7, "batch_price", "1/0", "at most 1"),
        (format!("{HEAD}batch_price = \"half\""), 7, "batch_price", "string", "such as { num"),
        (format!("{HEAD}batch_price = {{ num = 1 }}"), 7, "den", "missing field `den`", "that field"),
        (format!("{HEAD}batch_price = {{ num = -1, den = 2 }}"), 7, "num", "-1", "u32"),
        (format!("{HEAD}batch = \"opanai\""), 7, "batch", "opanai", "openrouter"),
        (format!("{HEAD}batch = true"), 7, "batch", "wanted string", "\"openai\""),
        (format!("{HEAD}{model}batch = \"no\""), 9, "batch", "string", "boolean"),
        (format!("{HEAD}{model}discounts_cache_read = 1"), 9, "discounts_cache_read", "integer", "boolean"),
        (format!("{HEAD}headers = {{ x = \"가\\n\" }}"), 7, "x", "header", "ASCII"),
        (format!("{HEAD}temprature = 1"), 7, "temprature", "unknown field", "name"),
        (format!("{HEAD}flex ="), 7, "", "", ""),
    ];
    for (toml, line, field, problem, expected) in cases {
        let error = Catalogue::parse("my.toml", toml).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("my.toml", *line), "{error}");
        assert!(error.field == *field || field.is_empty(), "{error}");
        assert!(error.problem.contains(problem) && error.expected.contains(expected), "{error}");
    }
    let twice = format!("{HEAD}{}", HEAD.replace("dated = 2026-11-20\n", ""));
    let error = Catalogue::parse("my.toml", &twice).unwrap_err().to_string();
    assert_eq!(error, "my.toml:8: name: this provider is there already; right would be one entry per provider");
}

//! What switches a provider on, where it is asked, and what it never shows.

use super::*;
use crate::{catalogue::Catalogue, metrics::Metrics};
use prometheus::Registry;

fn endpoint(provider: &str, vars: &[(&str, &str)]) -> Result<Option<Endpoint>, SetupError> {
    let catalogue = Catalogue::built_in().unwrap();
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let vars: Vec<(String, String)> =
        vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let lookup = move |name: &str| {
        vars.iter().find(|(known, _)| known == name).map(|(_, value)| SecretString::from(value.as_str()))
    };
    Endpoint::new(catalogue.provider(provider).unwrap(), &lookup, |name| metrics.of(name))
}

#[test]
fn a_key_switches_on() {
    let on = |provider, vars: &[(&str, &str)]| endpoint(provider, vars).unwrap().is_some();
    assert!(on("anthropic", &[("ANTHROPIC_API_KEY", "k")]));
    assert!(!on("anthropic", &[("ANTHROPIC_API_KEY", "  ")]), "an empty key is no key");
    assert!(!on("anthropic", &[("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")]), "Anthropic's wire wants a key");
    assert!(!on("openai", &[]));
    assert!(on("openai", &[("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1")]), "a server of one's own needs none");
    assert!(!on("openai", &[("OPENAI_BASE_URL", "https://api.openai.com/v1")]), "at home it needs one");
    assert!(on("ollama", &[("OLLAMA_BASE_URL", "http://127.0.0.1:11434/v1")]));
    assert!(!on("ollama", &[("OLLAMA_API_KEY", "k")]), "nobody knows where it is");
}

#[test]
fn addresses() {
    let cases = [
        ("anthropic", "ANTHROPIC_API_KEY", "", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "ANTHROPIC_API_KEY", "http://h:8/proxy/", "http://h:8/proxy/v1/messages"),
        ("anthropic", "ANTHROPIC_API_KEY", "http://h:8/v1/", "http://h:8/v1/messages"),
        ("openai", "OPENAI_API_KEY", "", "https://api.openai.com/v1/responses"),
        ("openai", "OPENAI_API_KEY", "http://h:8/v1/", "http://h:8/v1/chat/completions"),
        (
            "gemini",
            "GEMINI_API_KEY",
            "",
            "https://generativelanguage.googleapis.com/v1beta/models/m%2F1:generateContent",
        ),
        ("gemini", "GEMINI_API_KEY", "http://h:8/v1beta", "http://h:8/v1beta/models/m%2F1:generateContent"),
        ("perplexity", "PERPLEXITY_API_KEY", "", "https://api.perplexity.ai/chat/completions"),
        ("groq", "GROQ_API_KEY", "", "https://api.groq.com/openai/v1/chat/completions"),
    ];
    for (provider, key, base, expected) in cases {
        let base_variable = key.replace("API_KEY", "BASE_URL");
        let endpoint = endpoint(provider, &[(key, "k"), (&base_variable, base)]).unwrap().unwrap();
        assert_eq!(endpoint.url(endpoint.dialect.wire, "m/1", false).as_str(), expected);
    }
    let gemini = endpoint("gemini", &[("GEMINI_API_KEY", "k")]).unwrap().unwrap();
    let url = gemini.url(Wire::GenerateContent, "../../evil?x", true);
    assert_eq!(url.path(), "/v1beta/models/..%2F..%2Fevil%3Fx:streamGenerateContent");
    assert_eq!(url.query(), Some("alt=sse"));
}

#[test]
fn one_model_for_all_holds_elsewhere_only() {
    let model = |base: &str| {
        let vars = [("OPENAI_API_KEY", "k"), ("OPENAI_MODEL", "qwen3"), ("OPENAI_BASE_URL", base)];
        endpoint("openai", &vars).unwrap().unwrap().only_model
    };
    assert_eq!(model("http://127.0.0.1:8080/v1").as_deref(), Some("qwen3"));
    assert_eq!(model(""), None);
}

#[test]
fn bad_addresses_and_keys_are_refused_without_being_shown() {
    for bad in ["nonsense", "ftp://h/s3cret", "http://u:s3cret@h", "https://h/?key=s3cret", "https://h/#s3cret"] {
        let error = endpoint("openai", &[("OPENAI_BASE_URL", bad)]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("OPENAI_BASE_URL") && !shown.contains("s3cret"), "{shown}");
    }
    let error = endpoint("openai", &[("OPENAI_API_KEY", "s3cret\nx")]).unwrap_err();
    assert!(error.to_string().starts_with("OPENAI_API_KEY: ") && !format!("{error:?}").contains("s3cret"));
}

#[test]
fn the_key_is_a_sensitive_header() {
    for (provider, variable, header) in [
        ("anthropic", "ANTHROPIC_API_KEY", "x-api-key"),
        ("openai", "OPENAI_API_KEY", "authorization"),
        ("gemini", "GEMINI_API_KEY", "x-goog-api-key"),
    ] {
        let endpoint = endpoint(provider, &[(variable, "s3cret\n")]).unwrap().unwrap();
        assert!(endpoint.headers[header].is_sensitive());
        assert!(endpoint.headers[header].to_str().unwrap().ends_with("s3cret"), "the line feed of a file is cut");
        let shown = format!("{endpoint:?} {:?} {:?}", endpoint.headers, endpoint.key);
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

//! Who offers what, at home and elsewhere.

use super::*;
use crate::catalogue::Catalogue;
use prometheus::Registry;
use secrecy::SecretString;

fn providers(catalogue: &str, vars: &[(&str, &str)]) -> Providers {
    let catalogue = if catalogue.is_empty() {
        Catalogue::built_in().unwrap()
    } else {
        Catalogue::parse("my.toml", catalogue).unwrap()
    };
    let look = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| SecretString::from(*value));
    Providers::new(catalogue, &look, &Registry::new()).unwrap()
}

/// The group, or why there is none.
fn group(providers: &Providers, model: &str) -> String {
    match providers.offer(model) {
        None => "off".to_owned(),
        Some(Offer { batch: None, flex: true }) => "flex alone".to_owned(),
        Some(Offer { batch: None, flex: false }) => "nothing".to_owned(),
        Some(Offer { batch: Some(batch), flex }) => {
            format!(
                "{} {}{}",
                batch.group,
                if batch.one_model { "alone" } else { "mixed" },
                if flex { " or flex" } else { "" }
            )
        }
    }
}

#[test]
fn what_is_written_is_offered_at_home() {
    let keys: Vec<(String, &str)> =
        Catalogue::built_in().unwrap().providers.iter().map(|p| (p.key_variable.clone(), "k")).collect();
    let keys: Vec<(&str, &str)> = keys.iter().map(|(name, key)| (name.as_str(), *key)).collect();
    let providers = providers("", &keys);
    for (model, expected) in [
        ("anthropic/claude-opus-5-5", "anthropic mixed"),
        ("anthropic/claude-next", "anthropic mixed"),
        ("openai/gpt-6.1-sol", "openai/gpt-6.1-sol alone or flex"),
        ("openai/gpt-6.1-sol-2026-10-07", "openai/gpt-6.1-sol-2026-10-07 alone or flex"),
        ("gemini/gemini-3.8-flash", "gemini/gemini-3.8-flash alone or flex"),
        ("groq/openai/gpt-oss-120b", "nothing"),
        ("mistral/mistral-small-latest", "nothing"),
        ("together/some/model", "nothing"),
        ("openrouter/some/model", "nothing"),
        ("xai/grok", "nothing"),
        ("perplexity/sonar", "nothing"),
        ("deepseek/deepseek-flash", "nothing"),
        ("vllm/qwen", "off"),
        ("nobody/model", "off"),
        ("anthropic/", "off"),
        ("anthropic", "off"),
    ] {
        assert_eq!(group(&providers, model), expected, "{model}");
    }
    let served = |name: &&str| providers.batches(name).is_some();
    let names = ["anthropic", "openai", "gemini", "groq", "mistral", "perplexity", "vllm", "nobody"];
    assert_eq!(names.iter().copied().filter(served).collect::<Vec<_>>(), ["anthropic", "openai", "gemini"]);
    assert_eq!(providers.batches("anthropic").unwrap().limits(), (100_000, 250_000_000));
    assert_eq!(providers.offer("gemini/x").unwrap().batch.unwrap().max_items, 10_000);
}

#[test]
fn a_server_elsewhere_needs_a_key_and_a_known_model() {
    let llama = providers("", &[("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")]);
    assert_eq!(group(&llama, "openai/gpt-6.1-sol"), "nothing");
    assert!(llama.batches("openai").is_none());
    let gateway = [("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"), ("OPENAI_API_KEY", "k")];
    let known = providers("", &gateway);
    assert_eq!(group(&known, "openai/gpt-6.1-sol"), "openai/gpt-6.1-sol alone");
    assert_eq!(group(&known, "openai/qwen"), "nothing");
    let only = providers("", &[&gateway[..], &[("OPENAI_MODEL", "qwen")]].concat());
    assert_eq!(group(&only, "openai/gpt-6.1-sol"), "nothing", "whatever is asked, that server's one model answers");
    // Anthropic and Gemini are spoken to in the same way wherever they are.
    let moved = [("GEMINI_BASE_URL", "http://127.0.0.1:8080"), ("GEMINI_API_KEY", "k")];
    assert_eq!(group(&providers("", &moved), "gemini/gemini-3.8-flash"), "gemini/gemini-3.8-flash alone or flex");
}

#[test]
fn the_catalogue_may_rule_a_model_out() {
    let toml = "dated = 2026-11-20\n[[provider]]\nname = \"acme\"\nbase_url = \"https://acme.example\"\n\
        base_url_variable = \"ACME_BASE_URL\"\nkey_variable = \"ACME_API_KEY\"\nbatch = \"anthropic\"\n\
        dialect = { wire = \"messages\" }\n[[provider.model]]\nname = \"slow\"\nbatch = false\n";
    let acme = providers(toml, &[("ACME_API_KEY", "k")]);
    assert_eq!(group(&acme, "acme/slow"), "nothing");
    assert_eq!(group(&acme, "acme/other"), "acme mixed");
    // A batch API on a wire that it does not go with is not offered.
    let odd = providers(&toml.replace("\"messages\"", "\"chat_completions\""), &[("ACME_API_KEY", "k")]);
    assert_eq!(group(&odd, "acme/other"), "nothing");
}

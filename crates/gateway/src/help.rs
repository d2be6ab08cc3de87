//! The page that tells an agent how to join: Markdown for machines, the same as HTML for browsers.
//! Refuses to need a key.

use crate::{error::Code, routes};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CONTENT_SECURITY_POLICY, VARY},
};
use std::fmt::Write as _;

const PAGE: &str = include_str!("help.md");

/// Tells an agent how to join: as Markdown, or as HTML to whoever asks for that. No key is needed.
#[utoipa::path(get, path = "/help", tag = "service", security(()), responses(
    (status = 200, description = "How to join.", body = String, content_type = "text/markdown"),
))]
pub(crate) async fn show(request: HttpRequest) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let connection = request.connection_info();
    let page = markdown(&format!("{}://{}", plain(connection.scheme()), plain(connection.host())));
    let mut response = HttpResponse::Ok();
    response.insert_header((VARY, "Accept"));
    if accept.contains("text/html") {
        response.insert_header((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ));
        response.content_type("text/html; charset=utf-8").body(html(&page))
    } else {
        response.content_type("text/markdown; charset=utf-8").body(page)
    }
}

/// Keeps what a stranger's header can put on the page to the letters of an address.
fn plain(text: &str) -> String {
    text.chars().filter(|letter| letter.is_ascii_alphanumeric() || ".:-[]".contains(*letter)).take(255).collect()
}

fn markdown(base: &str) -> String {
    let mut addresses = String::from("| call | needs |\n| --- | --- |\n");
    for (method, path, need) in routes::needs() {
        let _ = writeln!(addresses, "| `{method} {path}` | {need} |");
    }
    let mut codes = String::from("| code | status | says |\n| --- | --- | --- |\n");
    for code in Code::ALL {
        let _ = writeln!(codes, "| `{}` | {} | {} |", code.as_str(), code.status().as_u16(), code.title());
    }
    PAGE.replace("{base}", base).replace("{routes}", addresses.trim_end()).replace("{codes}", codes.trim_end())
}

/// Turns the page's own Markdown into HTML: headings, paragraphs, lists, tables, indented code, links.
fn html(page: &str) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Chavion: how an agent joins</title><style>body{font:16px/1.6 system-ui,sans-serif;max-width:52rem;\
         margin:2rem auto;padding:0 1rem}pre,code{background:#8882;border-radius:4px;padding:.1em .3em}pre{padding:1em;\
         overflow:auto}pre code{background:none}table{border-collapse:collapse}td,th{border:1px solid #8886;\
         padding:.2em .6em;text-align:left}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}\
         a{color:#8bf}}</style>",
    );
    let mut open = "";
    for line in page.lines() {
        let block = block_of(line, open);
        if block != open {
            let _ = write!(out, "{}{}", ending(open), starting(block));
            open = block;
        }
        write_line(&mut out, line, block);
    }
    let _ = write!(out, "{}</html>", ending(open));
    out
}

/// Names the block that a line belongs to, given the one that is open.
fn block_of(line: &str, open: &'static str) -> &'static str {
    match line {
        "" if open == "pre" => "pre",
        "" => "",
        _ if line.starts_with("    ") => "pre",
        _ if line.starts_with('#') => "heading",
        _ if line.starts_with('|') => "table",
        _ if line.starts_with("- ") => "ul",
        _ if line.starts_with(|digit: char| digit.is_ascii_digit()) && open != "p" => "ol",
        _ if line.starts_with("  ") && open == "ul" => "ul",
        _ => "p",
    }
}

fn starting(block: &str) -> &'static str {
    match block {
        "pre" => "<pre><code>",
        "table" => "<table>",
        "ul" => "<ul>",
        "ol" => "<ol>",
        "p" => "<p>",
        _ => "",
    }
}

fn ending(block: &str) -> &'static str {
    match block {
        "pre" => "</code></pre>\n",
        "table" => "</table>\n",
        "ul" => "</ul>\n",
        "ol" => "</ol>\n",
        "p" => "</p>\n",
        _ => "",
    }
}

fn write_line(out: &mut String, line: &str, block: &str) {
    let _ = match block {
        "pre" => writeln!(out, "{}", escaped(line.strip_prefix("    ").unwrap_or(line))),
        "heading" => {
            let level = line.bytes().take_while(|byte| *byte == b'#').count();
            writeln!(out, "<h{level}>{}</h{level}>", inline(line.trim_start_matches('#').trim()))
        }
        "table" if line.starts_with("| ---") => Ok(()),
        "table" => writeln!(out, "{}", table_row(line)),
        "ul" => match line.strip_prefix("- ") {
            Some(item) => writeln!(out, "<li>{}", inline(item)),
            None => writeln!(out, "{}", inline(line.trim())),
        },
        "ol" => writeln!(out, "<li>{}", inline(line.split_once(". ").map_or(line, |(_, item)| item))),
        _ => writeln!(out, "{}", inline(line)),
    };
}

/// A row whose first cell is a code can be pointed at: `/help#invalid`.
fn table_row(line: &str) -> String {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let anchor = cells.first().copied().unwrap_or_default().trim_matches('`');
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", inline(cell))).collect();
    format!("<tr id=\"{}\">{cells}</tr>", escaped(&anchor.replace(' ', "-")))
}

/// Turns `code`, **bold** and [links](…) of a line into HTML.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escaped(part));
            continue;
        }
        for (index, part) in part.split("**").enumerate() {
            let part = links(part);
            let _ = if index % 2 == 1 { write!(out, "<b>{part}</b>") } else { write!(out, "{part}") };
        }
    }
    out
}

fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, label, address, after)) = link(rest) {
        let _ = write!(out, "{}<a href=\"{}\">{}</a>", escaped(before), escaped(address), escaped(label));
        rest = after;
    }
    out.push_str(&escaped(rest));
    out
}

fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (label, rest) = rest.split_once("](")?;
    let (address, after) = rest.split_once(')')?;
    Some((before, label, address, after))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_every_address_and_code_in_two_languages() {
        let page = markdown("http://localhost:5002");
        let html = html(&page);
        for text in [&page, &html] {
            assert!(text.contains("한국어 요약") && text.contains("POST /api/tasks/{id}/claim"));
            assert!(!text.contains("{base}") && !text.contains("{routes}") && !text.contains("{codes}"));
        }
        assert!(html.contains("<tr id=\"unknown_playbook\">"));
        assert!(!html.contains("<script"));
        assert_eq!(html.matches("<pre>").count(), html.matches("</pre>").count());
    }

    #[test]
    fn a_strangers_host_cannot_write_on_the_page() {
        assert_eq!(plain("evil\"><script>:80"), "evilscript:80");
    }
}

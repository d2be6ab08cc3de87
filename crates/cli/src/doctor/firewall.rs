//! Which firewall is active, and whether it lets the web in. Reads rules as their tools list them, and guesses nothing:
//! what it cannot read it says. A firewall of the hosting company is out of its sight.

use super::{
    Finding,
    ask::{ask, find},
};

/// The two ports of a web server.
const WEB: [u16; 2] = [80, 443];

/// What a set of rules does with what comes from outside.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    /// What no rule accepts is dropped.
    drops: bool,
    /// Which of the two ports are accepted.
    accepts: Vec<u16>,
    /// A chain that is not Docker's drops what is forwarded, and with it what goes to containers.
    drops_forwarded: bool,
}

/// Understands what a tool lists.
type Read = fn(&str) -> Rules;

/// Looks for the firewall that is in charge.
pub(super) async fn look(is_stack: bool) -> Finding {
    if let Some(finding) = ufw().await {
        return finding;
    }
    if let Some(finding) = firewalld().await {
        return finding;
    }
    if find("nft").is_none() && find("iptables-save").is_none() {
        return Finding::good("firewall", "none: neither ufw, firewalld, nft nor iptables is installed");
    }
    let mut unreadable = None;
    let mut found = None;
    let tools: [(&str, &[&str], Read); 2] = [("nft", &["list", "ruleset"], nftables), ("iptables-save", &[], iptables)];
    for (program, words, read) in tools {
        match ask(program, words).await {
            Some(answer) if answer.ok => {
                let rules = read(&answer.out);
                if found.as_ref().is_none_or(|(_, known): &(&str, Rules)| !known.drops && !known.drops_forwarded) {
                    found = Some((program, rules));
                }
            }
            Some(answer) => unreadable = Some(answer.err.lines().next().unwrap_or_default().to_owned()),
            None => {}
        }
    }
    match (found, unreadable) {
        (Some((program, rules)), _) => judge(if program == "nft" { "nftables" } else { "iptables" }, &rules, is_stack),
        (None, why) => {
            // What comes before the last colon is the tool's name for itself.
            let why = why.unwrap_or_default();
            let said = format!("its rules cannot be read: {}", why.rsplit(": ").next().unwrap_or_default());
            Finding::note("firewall", said, "run this as root to see them")
        }
    }
}

fn judge(name: &str, rules: &Rules, is_stack: bool) -> Finding {
    if is_stack && rules.drops_forwarded {
        let said = format!("{name} drops what is forwarded: containers get nothing from outside");
        return Finding::bad("firewall", said, "accept it in that chain, with the rule: ct status dnat accept");
    }
    if !rules.drops {
        return Finding::good("firewall", format!("{name}: nothing is dropped on its way in"));
    }
    web(&format!("{name}: what comes in is dropped unless a rule accepts it"), &rules.accepts)
}

/// Says which of the two ports are open. Docker's own rules lead published ports around such a firewall, so that a
/// closed one is no failure of the stack.
fn web(said: &str, accepts: &[u16]) -> Finding {
    let closed: Vec<String> = WEB.iter().filter(|port| !accepts.contains(port)).map(u16::to_string).collect();
    if closed.is_empty() {
        return Finding::good("firewall", format!("{said}; 80 and 443 are let in"));
    }
    let said = format!("{said}; no rule for {}", closed.join(" and "));
    Finding::note("firewall", said, "Docker lets its published ports in by itself; for anything else open them")
}

/// Debian's simple one, which a plain user may only see to be on.
async fn ufw() -> Option<Finding> {
    let status = ask("ufw", &["status"]).await?;
    if status.ok {
        let active = status.out.lines().any(|line| line.trim() == "Status: active");
        return active.then(|| web("ufw is active", &accepted_by_ufw(&status.out)));
    }
    let settings = std::fs::read_to_string("/etc/ufw/ufw.conf").ok()?;
    let active = settings.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"));
    active.then(|| Finding::note("firewall", "ufw is active; its rules cannot be read", "run this as root to see them"))
}

fn accepted_by_ufw(status: &str) -> Vec<u16> {
    let rules: Vec<(&str, &str)> = status.lines().filter_map(|line| line.split_once("ALLOW")).collect();
    let opens = |port: u16| {
        rules.iter().any(|(to, from)| {
            let to = to.trim();
            let named = match port {
                80 => matches!(to, "Nginx HTTP" | "WWW" | "Apache"),
                _ => matches!(to, "Nginx HTTPS" | "WWW Secure" | "Apache Secure"),
            };
            let both = matches!(to, "Nginx Full" | "WWW Full" | "Apache Full");
            let ports = to.split('/').next().is_some_and(|ports| holds(ports, port)) && !to.ends_with("/udp");
            from.contains("Anywhere") && (named || both || ports)
        })
    };
    WEB.into_iter().filter(|port| opens(*port)).collect()
}

async fn firewalld() -> Option<Finding> {
    let state = ask("firewall-cmd", &["--state"]).await?;
    if state.out != "running" {
        return None;
    }
    let list = ask("firewall-cmd", &["--list-all"]).await.unwrap_or_default();
    let field = |name: &str| list.out.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_default();
    let services: Vec<&str> = field("services:").split_whitespace().collect();
    let ports = field("ports:");
    let opens = |port: u16| {
        services.contains(&if port == 80 { "http" } else { "https" })
            || ports.split_whitespace().any(|it| it.strip_suffix("/tcp").is_some_and(|it| holds(it, port)))
    };
    let accepts: Vec<u16> = WEB.into_iter().filter(|port| opens(*port)).collect();
    Some(web("firewalld is active", &accepts))
}

/// Reads what `nft list ruleset` says.
fn nftables(text: &str) -> Rules {
    let mut rules = Rules::default();
    let (mut table, mut chain, mut hook) = ("", "", "");
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.trim_end_matches(" {");
        } else if let Some(name) = line.strip_prefix("chain ") {
            (chain, hook) = (name.trim_end_matches(" {"), "");
        } else if line.starts_with("type filter hook ") {
            hook = line.split_whitespace().nth(3).unwrap_or_default();
            let drops = line.contains("policy drop");
            rules.drops |= drops && hook == "input";
            // Docker closes this very chain, and opens it for its own.
            let is_dockers = table.ends_with(" filter") && table.starts_with("ip") && chain == "FORWARD";
            rules.drops_forwarded |= drops && hook == "forward" && !is_dockers;
        } else if matches!(line.split(" comment").next(), Some("drop" | "reject" | "counter drop")) {
            // A last rule that takes everything is a policy too.
            rules.drops |= hook == "input";
        } else if hook == "forward" && line.contains("ct status dnat") && line.contains("accept") {
            rules.drops_forwarded = false;
        } else if line.contains("dport") && line.split_whitespace().any(|word| word == "accept") {
            let ports = line.split_once("dport ").map_or("", |(_, rest)| rest);
            let ports = if let Some(set) = ports.strip_prefix('{') {
                set.split('}').next().unwrap_or_default()
            } else {
                ports.split_whitespace().next().unwrap_or_default()
            };
            note(&mut rules.accepts, ports);
        }
    }
    rules
}

/// Reads what `iptables-save` says.
fn iptables(text: &str) -> Rules {
    let mut rules = Rules::default();
    for line in text.lines().map(str::trim) {
        if line.starts_with(":INPUT DROP") || line == "-A INPUT -j DROP" || line.starts_with("-A INPUT -j REJECT") {
            rules.drops = true;
        } else if line.contains("-j ACCEPT")
            && let Some((_, rest)) = line.split_once("--dport ").or_else(|| line.split_once("--dports "))
        {
            note(&mut rules.accepts, rest.split_whitespace().next().unwrap_or_default());
        }
    }
    rules
}

fn note(accepts: &mut Vec<u16>, ports: &str) {
    accepts.extend(WEB.into_iter().filter(|port| holds(ports, *port)));
    accepts.sort_unstable();
    accepts.dedup();
}

/// Tells whether a list such as `22, 80-90` or `http,https` holds a port.
fn holds(list: &str, port: u16) -> bool {
    list.split(',').map(str::trim).any(|item| match item {
        "http" => port == 80,
        "https" => port == 443,
        item => match item.split_once(['-', ':']) {
            Some((from, to)) => {
                matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&port))
            }
            None => item.parse() == Ok(port),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Rules, accepted_by_ufw, iptables, nftables};

    #[test]
    fn what_tools_list_is_understood() {
        let docker =
            "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}";
        assert_eq!(nftables(docker), Rules::default());
        let closed = "table inet filter {\n chain input {\n type filter hook input priority filter; policy drop;\n tcp dport 22 accept\n }\n \
                      chain forward {\n type filter hook forward priority filter; policy drop;\n }\n}";
        assert_eq!(nftables(closed), Rules { drops: true, drops_forwarded: true, ..Rules::default() });
        let open = closed.replace("tcp dport 22 accept", "tcp dport { 22, 80, 443 } counter packets 0 bytes 0 accept");
        assert_eq!(nftables(&open).accepts, [80, 443]);
        let let_through = closed.replace(" }\n}", " ct status dnat accept\n }\n}");
        assert!(!nftables(&let_through).drops_forwarded);
        let save = "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT";
        assert_eq!(iptables(save), Rules { drops: true, accepts: vec![443], ..Rules::default() });
        let many = ":INPUT ACCEPT [0:0]\n-A INPUT -p tcp -m multiport --dports 22,80:90 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited";
        assert_eq!(iptables(many), Rules { drops: true, accepts: vec![80], ..Rules::default() });
        let ufw = "Status: active\n\nTo    Action  From\n--   ------   ----\n22/tcp   ALLOW   Anywhere\n80,443/tcp  ALLOW IN  Anywhere\n";
        assert_eq!(accepted_by_ufw(ufw), [80, 443]);
        assert_eq!(accepted_by_ufw("443/udp ALLOW Anywhere\n80 ALLOW 10.0.0.1\nNginx HTTPS ALLOW Anywhere"), [443]);
    }
}

//! `chavion doctor` on servers of every kind: what stands in the way is named with its cure, and no secret is shown.
//! The machine's own tools are played by scripts on the search path.

use crate::world::{Ended, World, until};
use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

/// What the engine of a healthy server says.
const DOCKER: &str = r#"case "$1" in
  --version) echo "Docker version 28.2.2, build e6534b4" ;;
  info) printf '28.0.1\t/\toverlay2\tlinux/x86_64\n' ;;
  compose) echo 2.26.1 ;;
esac"#;

/// A checkout of an operator, and a machine of scripts.
struct Server(World);

impl Server {
    fn new() -> Self {
        let mut world = World::new();
        fs::create_dir_all(world.folder.join("bin")).unwrap();
        fs::create_dir_all(world.folder.join("site")).unwrap();
        let bin = world.folder.join("bin").display().to_string();
        world.set("PATH", &format!("{bin}:/usr/bin:/bin"));
        let top = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        for name in ["compose.yml", ".env.example"] {
            fs::copy(format!("{top}/{name}"), world.folder.join("site").join(name)).unwrap();
        }
        let server = Self(world);
        server.plays("docker", DOCKER);
        server.plays("docker-compose", "exit 1");
        server.plays("ufw", "echo 'Status: inactive'");
        server.plays("firewall-cmd", "echo 'not running'; exit 252");
        server.plays("nft", "true");
        server.plays("iptables-save", "true");
        server.plays("timedatectl", "echo yes");
        server
    }

    fn plays(&self, program: &str, script: &str) {
        let file = self.0.folder.join("bin").join(program);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes .env: the example, and these lines after it.
    fn fills_in(&self, lines: &str) {
        let site = self.0.folder.join("site");
        let example = fs::read_to_string(site.join(".env.example")).unwrap();
        fs::write(site.join(".env"), format!("{example}\n{lines}\n")).unwrap();
        fs::set_permissions(site.join(".env"), Permissions::from_mode(0o600)).unwrap();
    }

    fn doctor(&self, code: i32, words: &[&str]) -> Ended {
        let site = self.0.folder.join("site").display().to_string();
        let ended = self.0.run(&["doctor", &site]);
        ended.expect(code, words);
        let lines: Vec<&str> = ended.out.lines().collect();
        assert!(lines.len() <= 40 && lines.iter().all(|line| line.chars().count() <= 100), "{}", ended.out);
        // Every bad line says what to do in the one after it, or, where it is long, in one soon after.
        for finding in self.0.run(&["doctor", &site, "--json"]).json()["findings"].as_array().unwrap() {
            assert!(finding["mark"] == "good" || finding["do"].is_string(), "{finding}");
        }
        ended
    }
}

/// Held until the test ends: nobody else is given it meanwhile.
fn free_port() -> u16 {
    testkit::process::free_address().port()
}

#[test]
fn a_bare_server_is_told_what_it_lacks() {
    let server = Server::new();
    server.doctor(
        3,
        &["✗ .env", "→ cp .env.example .env", "not as root", "✓ compose"]
            .map(|word| if word == "not as root" { "cores; chavion" } else { word }),
    );
    server.fills_in("");
    server.doctor(3, &["no provider is given", "ANTHROPIC_API_KEY", "COMPOSE_PROFILES=demo"]);
    server.plays("docker", "echo 'permission denied while trying to connect' >&2; exit 1");
    server.doctor(3, &["✗ docker", "this user may not ask it", "usermod -aG docker"]);
    server.plays(
        "docker",
        r#"case "$1" in --version) echo "Docker version 28.2.2" ;; *) echo "Cannot connect" >&2; exit 1 ;; esac"#,
    );
    server.doctor(3, &["✗ docker", "no engine answers", "systemctl enable --now docker", "✗ compose"]);
    fs::remove_file(server.0.folder.join("bin/docker")).unwrap();
    if !["/usr/bin/docker", "/bin/docker"].iter().any(|path| std::path::Path::new(path).exists()) {
        server.doctor(3, &["✗ docker", "not installed", "apt-get install docker.io docker-compose"]);
    }
    server.0.run(&["doctor", "/proc"]).expect(3, &["✗ stack", "no compose.yml in /proc"]);
}

#[test]
fn an_env_is_judged_and_never_shown() {
    let server = Server::new();
    let (http, https) = (free_port(), free_port());
    let ports = format!("HTTP_PORT={http}\nHTTPS_PORT={https}");
    server.fills_in(&format!(
        "{ports}\nOPENAI_API_KEY=sk-비밀\nOPENAI_BASE_URL=http://127.0.0.1:1/v1\nGRAFANA_PASSWORD='hush'"
    ));
    let ended = server.doctor(
        3,
        &[
            "HTTP_PORT, OPENAI_API_KEY, OPENAI_BASE_URL",
            "✗ openai",
            "cannot be reached",
            &format!("{http} free, {https} free"),
            "docker compose up -d",
        ],
    );
    assert!(!ended.out.contains("sk-비밀") && !ended.out.contains("hush"), "{}", ended.out);
    server.fills_in(&format!("{ports}\nCOMPOSE_PROFILES=demo,acme\nGROQ_API_KEY=x\nDOMIAN=chavion.example"));
    fs::set_permissions(server.0.folder.join("site/.env"), Permissions::from_mode(0o644)).unwrap();
    server.doctor(
        3,
        &[
            "demo in COMPOSE_PROFILES, and a provider too",
            "DOMAIN or ACME_EMAIL is empty",
            "nobody reads: DOMIAN",
            "chmod 600 .env",
        ],
    );
    server.fills_in(&format!("{ports}\nCOMPOSE_PROFILES=demo"));
    server.doctor(0, &["· .env", "EMULATED", "✓ docker", "engine 28.0.1", "✓ compose", "2.26.1", "set by the network"]);
}

#[test]
fn ports_and_firewalls_that_stand_in_the_way_are_named() {
    let server = Server::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    server.fills_in(&format!("HTTP_PORT={}\nHTTPS_PORT={port}\nCOMPOSE_PROFILES=demo", free_port()));
    // Who has it is this test.
    server.doctor(3, &[&format!("{port} is taken by "), "stop it, or set HTTPS_PORT to another port in .env"]);
    drop(taken);
    let chain = |hook: &str, rule: &str| {
        format!(" chain {hook} {{\n  type filter hook {hook} priority filter; policy drop;\n  {rule}\n }}\n")
    };
    let nft = |chains: &str| server.plays("nft", &format!("cat << END\ntable inet filter {{\n{chains}}}\nEND"));
    nft(&chain("input", "tcp dport { 22, 80, 443 } accept"));
    server.doctor(0, &["✓ firewall", "80 and 443 are let in"]);
    nft(&chain("input", "tcp dport 22 accept"));
    server.doctor(0, &["· firewall", "no rule for 80 and 443"]);
    nft(&chain("forward", "ct state established accept"));
    server.doctor(3, &["✗ firewall", "drops what is forwarded", "ct status dnat accept"]);
    server.plays("nft", "echo 'Operation not permitted (you must be root)' >&2; exit 1");
    server.plays("iptables-save", "echo 'Permission denied (you must be root)' >&2; exit 4");
    server.doctor(0, &["· firewall", "run this as root"]);
    server.plays("ufw", "printf 'Status: active\\n\\n80,443/tcp  ALLOW  Anywhere\\n'");
    server.doctor(0, &["✓ firewall", "ufw is active; 80 and 443 are let in"]);
    server.plays("timedatectl", "echo no");
    server.doctor(0, &["· clock", "timedatectl set-ntp true"]);
}

#[test]
fn an_expired_certificate_is_named_with_its_end() {
    let server = Server::new();
    let folder = server.0.folder.join("certificate");
    fs::create_dir(&folder).unwrap();
    let port = free_port();
    server.fills_in(&format!("HTTP_PORT={}\nHTTPS_PORT={port}\nCOMPOSE_PROFILES=demo", free_port()));
    let openssl = |words: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(words).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let make = |days: &str| {
        let key =
            ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-out", "request"];
        assert!(openssl(&[&["req", "-new", "-subj", "/CN=localhost"][..], &key].concat()).status().unwrap().success());
        let sign = ["x509", "-req", "-in", "request", "-signkey", "key", "-days", days, "-out", "certificate"];
        assert!(openssl(&sign).status().unwrap().success());
    };
    for (days, code, words) in [
        ("-1", 3, &["✗ certificate", "self-signed, EXPIRED on 20", "docker compose up -d makes a new one"][..]),
        ("5", 0, &["· certificate", "(4 days)"]),
        ("300", 0, &["✓ stack", "✓ certificate", "self-signed, until 20", "(299 days)"]),
    ] {
        make(days);
        let address = format!("127.0.0.1:{port}");
        let serve = ["s_server", "-accept", &address, "-cert", "certificate", "-key", "key", "-www"];
        let mut serving = openssl(&serve).spawn().unwrap();
        until("openssl serves", || std::net::TcpStream::connect(&address).is_ok());
        // The port is openssl's and not Docker's, which is another matter.
        let site = server.0.folder.join("site").display().to_string();
        let ended = server.0.run(&["doctor", &site]);
        serving.kill().unwrap();
        serving.wait().unwrap();
        ended.expect(3, words).expect(3, &[&format!("{port} is taken by openssl")]);
        assert_eq!(ended.out.contains("✗ certificate"), code == 3, "{}", ended.out);
    }
}

//! The private servers are opened by a password that only the data folder's owner and the services know.

use crate::world::World;
use std::{fs, os::unix::fs::PermissionsExt as _};

/// Knocks at Redis as a command in the sandbox could, without a password.
const KNOCK: &str = r#"perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print "closed: $!"; exit };
    print $s "PING\r\n"; print scalar <$s>' "#;

#[test]
fn nobody_gets_in_without_the_password() {
    let mut world = World::new();
    let books = world.folder.join("playbooks");
    fs::create_dir(&books).unwrap();
    let data = world.data();
    fs::create_dir(&data).unwrap();
    let sockets = fs::canonicalize(&data).unwrap();
    let script = format!("cat '{}/password' '{}/key' 2>&1; id -u; pwd", sockets.display(), sockets.display());
    let book = format!(
        "name = \"snoop\"\nreport = \"{{{{ steps.run.text }}}}\"\n[[step]]\nid = \"run\"\nkind = \"command\"\nscript = \"\"\"{script}\"\"\"\n"
    );
    fs::write(books.join("snoop.toml"), book).unwrap();
    world.set("PLAYBOOKS_DIR", &books.display().to_string());
    world.up();

    let password = fs::read_to_string(data.join("password")).unwrap().trim().to_owned();
    assert_eq!(password.len(), 64);
    for file in ["password", "key"] {
        assert_eq!(fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    // No command line, no environment and no log tells it.
    let lines = World::processes("cmdline");
    for told in lines.iter().chain(&World::processes("environ")) {
        assert!(!told.contains(&password), "{}", told.replace(&password, "<the password>"));
    }
    for log in ["postgres.log", "redis.log"] {
        assert!(!fs::read_to_string(data.join(log)).unwrap().contains(&password), "{log}");
    }
    assert!(!world.said().contains(&password));

    // The sockets of an odd folder are elsewhere; whoever reaches them is asked for the password.
    let server = |line: &&String| line.contains("redis-server") && line.contains(&*data.to_string_lossy());
    let line = lines.iter().find(server).unwrap();
    let socket = line.split("--unixsocket ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let knocked = std::process::Command::new("sh").args(["-c", &format!("{KNOCK}{socket}")]).output().unwrap();
    assert!(String::from_utf8_lossy(&knocked.stdout).contains("NOAUTH"), "{knocked:?}");
    let folder = socket.strip_suffix("/redis.sock").unwrap();
    let url = format!("postgresql:///postgres?user=chavion&host={folder}");
    let entered = std::process::Command::new("psql").args(["-w", &url, "-c", "select 1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&entered.stderr).contains("no password supplied"), "{entered:?}");

    // A command runs in `up`, in a folder that its own uid can reach, and sees neither password nor key.
    let ended = world.json(&["order", "엿보기", "--playbook", "snoop"]);
    let report = ended["results"]["report"].as_str().unwrap_or_else(|| panic!("{ended}"));
    assert_eq!(report.matches("Permission denied").count(), 2, "{report}");
    assert!(report.contains("/work/") && !report.contains(&password), "{report}");
}

#[test]
fn a_folder_of_before_passwords_and_a_lost_password_are_taken_over() {
    let world = World::new();
    let ask = [
        "with-servers",
        "--",
        "sh",
        "-c",
        "psql -At \"$DATABASE_URL\" -c 'select 40 + 2'; redis-cli --no-auth-warning -u \"$REDIS_URL\" ping",
    ];
    world.run(&ask).expect(0, &["42", "PONG"]);
    let file = world.data().join("password");
    let first = fs::read_to_string(&file).unwrap();
    world.run(&ask).expect(0, &["42"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    fs::remove_file(&file).unwrap();
    world.run(&ask).expect(0, &["42", "PONG"]);
    assert_ne!(fs::read_to_string(&file).unwrap(), first);
    fs::write(&file, &first).unwrap();
    let refused = world.run(&ask);
    refused.expect(3, &["refuses the password of", "start again"]);
    assert!(!refused.err.contains(first.trim()));
    assert_eq!(world.run(&["with-servers", "--", "sh", "-c", "exit 7"]).code, Some(3));
    fs::remove_file(&file).unwrap();
    world.run(&["with-servers", "--", "sh", "-c", "exit 7"]).expect(7, &[]);
    world.run(&["with-servers", "--", "no-such-program"]).expect(2, &["no-such-program cannot be started"]);
    world.until_alone();
}

//! Starts that are refused: what is wrong, where, and what would be right; nothing is left running.

use crate::world::World;
use std::{fs, net::TcpListener};

#[test]
fn bad_settings_are_refused_before_anything_is_started() {
    let mut world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for variable in ["GATEWAY_ADDR", "ADMIN_ADDR"] {
        world.set(variable, &address);
        let ended = world.run(&["up"]);
        ended.expect(1, &["is taken", &format!("{variable}=127.0.0.1:")]);
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
        world.set(variable, "127.0.0.1:0");
    }
    world.set("LEASE_SECONDS", "곧");
    world.set("ASK_CONCURRENCY", "-1");
    let ended = world.run(&["up", "--json"]).expect(64, &[]).json();
    let fields: Vec<_> = ended["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(
        (&ended["code"], fields),
        (&"bad_configuration".into(), vec!["LEASE_SECONDS".into(), "ASK_CONCURRENCY".into()])
    );
    world.run(&["up"]).expect(64, &["LEASE_SECONDS: is \"곧\"; expected", "ASK_CONCURRENCY: is \"-1\"; expected"]);
    world.vars.clear();
    world.set("DATABASE_URL", "postgres://db/chavion");
    world.run(&["up"]).expect(64, &["only one of DATABASE_URL and REDIS_URL"]);
    world.set("REDIS_URL", "redis://127.0.0.1:1");
    world.set("DATABASE_URL", "postgres://chavion:비밀번호@127.0.0.1:1/chavion");
    let ended = world.run(&["up"]);
    ended.expect(1, &["Postgres", "Connection refused"]);
    assert!(!ended.err.contains("비밀번호"), "{ended:?}");
    world.run(&["doctor"]).expect(3, &["✗ DATABASE_URL", "✗ REDIS_URL"]);
    world.vars.clear();
    fs::write(world.folder.join("file"), "").unwrap();
    let inside = world.folder.join("file/자료").display().to_string();
    world.run(&["--data", &inside, "up"]).expect(1, &["cannot be made", "Not a directory"]);
    world.until_alone();
    assert!(!world.data().join("postgres").exists());
}

#[test]
fn bad_playbooks_and_a_newer_database_are_refused() {
    let mut world = World::new();
    let books = world.folder.join("playbooks");
    fs::create_dir(&books).unwrap();
    world.set("PLAYBOOKS_DIR", &books.display().to_string());
    let step = |id: &str, rest: &str| format!("[[step]]\nid = \"{id}\"\nagent = \"assistant\"\n{rest}\n");
    let ask = "prompt = \"{{ order.text }}\"";
    for (text, words) in [
        (
            step("a", &format!("needs = [\"b\"]\n{ask}")) + &step("b", &format!("needs = [\"a\"]\n{ask}")),
            ["a → b → a", ":5"],
        ),
        (step("a", "prompt = \"{{ order.text \""), ["prompt", ":5"]),
        (step("a", ask).replace("assistant", "없는이"), ["없는이", "나쁜.toml"]),
        (step("a", &format!("{ask}\ncolour = \"red\"")), ["colour", ":6"]),
    ] {
        fs::write(books.join("나쁜.toml"), format!("name = \"bad\"\n{text}")).unwrap();
        let ended = world.run(&["up"]);
        ended.expect(1, &words).expect(1, &["나쁜.toml"]);
        assert_eq!(ended.err.lines().filter(|line| line.starts_with("chavion: ")).count(), 1, "{ended:?}");
        world.until_alone();
    }
    fs::remove_file(books.join("나쁜.toml")).unwrap();

    // Those starts made the schema; a program of a later day has made it newer.
    let sql = "insert into schema_migrations (version, name, checksum) values (999, '0999_later', 'x')";
    world.run(&["with-servers", "--", "sh", "-c", &format!("psql -q \"$DATABASE_URL\" -c \"{sql}\"")]).expect(0, &[]);
    world.run(&["up"]).expect(1, &["schema version 999", "newer program"]);
    assert_eq!(world.run(&["up", "--json"]).expect(1, &[]).json()["code"], "failed");
    world.until_alone();
}

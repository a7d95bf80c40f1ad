//! `natsbridge gc`, after senders that were killed.

use crate::servers::{Ended, Files, Nats, program};

#[test]
fn a_record_has_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let missing = missing.to_str().unwrap();
    for args in [
        &["gc"][..],
        &["gc", "--record", missing],
        &["gc", "--fileserver", "http://127.0.0.1:1"],
        &["gc", "--record", missing, "--fileserver", "http://127.0.0.1:1"],
    ] {
        Ended::of(program().args(args), b"").expect(2);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made");
}

/// The lengths of all files in a folder and below.
#[cfg(unix)]
fn lens(dir: &std::path::Path) -> Vec<u64> {
    let mut lens = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => lens.extend(self::lens(&entry.path())),
            Ok(metadata) => lens.push(metadata.len()),
            Err(_) => {}
        }
    }
    lens
}

#[cfg(unix)]
#[test]
fn what_a_killed_sender_has_left_is_deleted_and_a_living_ones_uploads_are_not() {
    use std::io::Write;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use crate::servers::PATIENCE;

    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("files")).unwrap();
    assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
    let (nats, files) = (Nats::start(), Files::start(&["--dir", &path("files")]));
    let wait = |what: &str, done: &dyn Fn(&[u64]) -> bool| {
        let begun = Instant::now();
        while !done(&lens(&dir.path().join("files"))) {
            let left = lens(&dir.path().join("files"));
            assert!(begun.elapsed() < PATIENCE, "{what}: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let gc = |more: &[&str]| {
        let args = ["gc", "--record", &path("record"), "--fileserver", &files.url];
        Ended::of(program().args(args).args(more), b"")
    };

    // One payload is on the server, and the other never ends.
    let small = format!("small:text={}", "x".repeat(1234));
    let endless = format!("endless:binary@{}", path("fifo"));
    let record = path("record");
    let args = ["send", "t", &small, &endless, "--threshold=1", "--upload-record", &record];
    let mut sender = nats.program().args(args).args(["--fileserver", &files.url]).spawn().unwrap();
    // Open for reading as well, it never breaks, however often the sender looks at it.
    let mut fifo = std::fs::OpenOptions::new().read(true).write(true).open(path("fifo")).unwrap();
    fifo.write_all(&vec![7; 2_000_000]).unwrap();
    wait("the small payload", &|lens| lens.contains(&1234));

    let ended = gc(&["--grace=0s"]).expect(0);
    assert!(
        ended.stdout.contains("0 deleted") && ended.stdout.contains("of a sender that lives"),
        "{ended:?}"
    );
    assert!(lens(&dir.path().join("files")).contains(&1234));
    // Nor does another sender get the record.
    nats.run(&["send", "t", "a:text=b", "--upload-record", &record, "--fileserver", &files.url]).expect(2);

    sender.kill().unwrap();
    sender.wait().unwrap();
    let ended = gc(&[]).expect(0);
    assert!(ended.stdout.contains("younger than --grace"), "{ended:?}");
    assert!(lens(&dir.path().join("files")).contains(&1234));
    // Another server is not told how to delete anything.
    let other = Files::start(&[]);
    let args = ["gc", "--record", &record, "--grace=0s", "--fileserver", &other.url];
    let ended = Ended::of(program().args(args), b"").expect(1);
    assert!(ended.stdout.contains("of another file server"), "{ended:?}");

    let ended = gc(&["--grace=0s", "--json"]).expect(0);
    let line: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(
        line["deleted"].as_u64().unwrap() >= 1 && line["failed"].as_array().unwrap().is_empty(),
        "{line}"
    );
    wait("what was left", &|lens| lens.is_empty());
    let ended = gc(&["--grace=0s"]).expect(0);
    assert!(ended.stdout.contains(": 0 deleted\n"), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn a_server_that_is_away_is_asked_again_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let handle = "http://127.0.0.1:1 abc TOKEN";
    std::fs::write(
        &record,
        format!("{{\"announced\":\"{handle}\",\"at\":1}}\n{{\"announced\":\"{handle}2\",\"at\":1}}\n"),
    )
    .unwrap();
    let record = record.to_str().unwrap();
    for _ in 0..2 {
        let args = ["gc", "--record", record, "--fileserver", "http://127.0.0.1:1"];
        let ended = Ended::of(program().args(args), b"").expect(4);
        assert!(ended.stdout.contains("0 deleted, 2 could not be deleted"), "{ended:?}");
        assert!(!ended.stderr.contains("TOKEN") && !ended.stderr.contains("abc"), "{ended:?}");
    }
}

#[test]
fn a_sender_that_succeeds_leaves_nothing_to_collect() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let record = record.to_str().unwrap();
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let send = ["send", "t", "a:text=hello", "--threshold=1", "--upload-record", record];
    for _ in 0..2 {
        nats.run(&[&send[..], &["--fileserver", &files.url]].concat()).expect(0);
    }
    let gc = ["gc", "--record", record, "--grace=0s", "--fileserver", &files.url];
    let ended = Ended::of(program().args(gc), b"").expect(0);
    assert_eq!(ended.stdout, format!("{record}: 0 deleted\n"));
}

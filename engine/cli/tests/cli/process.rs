//! The program as a process: signals, closed pipes, secrets.

use crate::servers::{Ended, Nats, program};

#[cfg(unix)]
#[test]
fn signals_end_it_cleanly() {
    use crate::servers::{Files, Receiving, signal};

    let nats = Nats::start();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut receiving = Receiving::start(&nats, &["t"]);
        signal(receiving.child(), name);
        let ended = receiving.finish().expect(code);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }
    let dir = tempfile::tempdir().unwrap();
    let files = Files::start(&["--dir", dir.path().to_str().unwrap()]);
    nats.run(&["send", "t", "a:text=b", "--threshold=1", "--fileserver", &files.url]).expect(0);
    assert_eq!(files.terminate(), Some(0));
}

#[cfg(unix)]
#[test]
fn signals_end_it_whatever_it_waits_for() {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::servers::{Receiving, signal};

    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let from_fifo = format!("a:binary@{}", fifo.display());
    let nats = Nats::start();
    let prompt = |begun: Instant| assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        // Input that does not come.
        for args in [&["send", "t", "a:binary@-"][..], &["send", "t", &from_fifo], &["inspect"]] {
            let mut child = nats.program().args(args).stdin(Stdio::piped()).spawn().unwrap();
            // Waiting for the program would close it.
            let _input = child.stdin.take();
            std::thread::sleep(Duration::from_millis(500));
            assert!(child.try_wait().unwrap().is_none(), "{args:?}");
            let begun = Instant::now();
            signal(&child, name);
            assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
            prompt(begun);
        }
        // Output that nobody reads.
        let mut receiving = Receiving::start(&nats, &["t", "--json"]);
        let text = format!("a:text={}", "x".repeat(60_000));
        for _ in 0..8 {
            nats.run(&["send", "t", &text]).expect(0);
        }
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        signal(receiving.child(), name);
        assert_eq!(receiving.child().wait().unwrap().code(), Some(code));
        prompt(begun);
        let mut printed = String::new();
        receiving.child().stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(printed.len() < 8 * 60_000, "it was blocked");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::process::Stdio;

    let mut child = program()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn secrets_are_never_shown() {
    let secrets = [
        ("NATS_URL", "nats://user:hunter2@127.0.0.1:1"),
        ("NATS_USER", "hunter2"),
        ("NATS_PASSWORD", "hunter2"),
        ("PLIK_TOKEN", "hunter2"),
        ("NATSBRIDGE_FILESERVER", "http://127.0.0.1:1/hunter2"),
    ];
    for args in [
        &["send", "--help"][..],
        &["fileserver", "--help"],
        &["-vvv", "send", "t", "a:text=b"],
        &["doctor", "--timeout=1s"],
        &["send"],
    ] {
        let ended = Ended::of(program().args(args).envs(secrets), b"");
        let shown = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!shown.contains("hunter2"), "{args:?}: {shown}");
    }
    // Nor where the server is there, and is told the password.
    let nats = Nats::start_with("authorization { user: ada, password: hunter2 }");
    for logs in ["trace", "async_nats=trace", "debug"] {
        let mut send = nats.program();
        send.args(["-v", "send", "t", "a:text=b"]).env("RUST_LOG", logs);
        send.env("NATS_USER", "ada").env("NATS_PASSWORD", "hunter2");
        let ended = Ended::of(&mut send, b"").expect(0);
        assert!(!ended.stderr.is_empty() && !ended.stderr.contains("hunter2"), "{logs}: {}", ended.stderr);
    }
}

#[test]
fn credentials_are_sent_and_refused_ones_reported() {
    let nats = Nats::start_with("authorization { user: ada, password: right }");
    let send = ["send", "t", "a:text=b"];
    nats.run(&[&send[..], &["--user=ada", "--password=right"]].concat()).expect(0);
    Ended::of(nats.program().args(send).env("NATS_USER", "ada").env("NATS_PASSWORD", "right"), b"").expect(0);
    let ended = nats.run(&[&send[..], &["--user=ada", "--password=wrong"]].concat()).expect(3);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    nats.run(&send).expect(3);

    let nats = Nats::start_with("authorization { token: secret }");
    nats.run(&[&send[..], &["--user=secret"]].concat()).expect(0);
}

#[test]
fn a_subject_that_is_not_permitted_is_the_brokers_word() {
    let users = "authorization { users: [{user: a, password: b, permissions: {publish: [\"ok\", \"_INBOX.>\"], subscribe: [\"_INBOX.>\"]}}] }";
    let nats = Nats::start_with(users);
    let login = ["--user=a", "--password=b"];
    nats.run(&[&["send", "ok", "a:text=b"], &login[..]].concat()).expect(0);
    nats.run(&[&["send", "no", "a:text=b"], &login[..]].concat()).expect(3);
    nats.run(&[&["receive", "ok", "--timeout=5s"], &login[..]].concat()).expect(3);
}

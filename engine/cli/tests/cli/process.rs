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

/// Passes everything on, but of one connection no more than a megabyte; hands out the first bytes of each piece.
#[cfg(unix)]
fn slow_proxy(to: String, seen: std::sync::mpsc::Sender<String>) -> String {
    use std::io::{Read, Write, copy};
    use std::net::{TcpListener, TcpStream};
    use std::thread::{park, spawn};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            spawn(move || copy(&mut answers, &mut back));
            let seen = seen.clone();
            spawn(move || {
                let (mut client, mut server) = (client, server);
                let (mut piece, mut passed) = (vec![0; 65_536], 0);
                while let Ok(len @ 1..) = client.read(&mut piece) {
                    let _ = seen.send(String::from_utf8_lossy(&piece[..len.min(20)]).into_owned());
                    server.write_all(&piece[..len]).unwrap();
                    passed += len;
                    if passed > 1_000_000 {
                        loop {
                            park();
                        }
                    }
                }
            });
        }
    });
    url
}

#[cfg(unix)]
#[test]
fn an_interrupted_send_takes_its_uploads_back() {
    use std::time::{Duration, Instant};

    use crate::servers::{Files, PATIENCE, signal};

    let (nats, files) = (Nats::start(), Files::start(&[]));
    let (seen, requests) = std::sync::mpsc::channel();
    let proxy = slow_proxy(files.url.strip_prefix("http://").unwrap().to_owned(), seen);
    let dir = tempfile::tempdir().unwrap();
    let big = dir.path().join("big");
    std::fs::write(&big, vec![7; 30_000_000]).unwrap();
    let payload = format!("big:binary@{}", big.display());
    let args = ["send", "t", "small:text=complete", &payload, "--threshold=1", "--fileserver", &proxy];
    let mut child = nats.program().args(args).spawn().unwrap();
    for _ in 0..2 {
        while !requests.recv_timeout(PATIENCE).unwrap().starts_with("POST /file/") {}
    }
    // The small one is there, the big one is held up.
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let requests: Vec<_> = requests.try_iter().collect();
    assert!(requests.iter().any(|request| request.starts_with("DELETE /file/")), "{requests:?}");
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

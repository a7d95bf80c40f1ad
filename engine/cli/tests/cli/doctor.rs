//! The doctor's findings.

use crate::servers::{Ended, Files, Nats, program};

#[test]
fn a_healthy_installation_is_all_right() {
    let (nats, files) = (Nats::start(), Files::start(&["--max-file-size=5MB"]));
    let ended = nats.run(&["doctor", "--fileserver", &files.url]).expect(0);
    assert!(ended.stdout.lines().all(|line| line.starts_with("ok ")), "{}", ended.stdout);
    for part in [
        "version 2.",
        "max_payload: 1,048,576 bytes",
        "largest direct payload: 78",
        "files up to 5,000,000 bytes",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

#[test]
fn the_largest_direct_payload_is_exact_enough_to_send() {
    let nats = Nats::start();
    let ended = nats.run(&["doctor"]).expect(0);
    let line = ended.stdout.lines().find(|line| line.contains("largest direct payload")).unwrap();
    let number = line.split_once(": ").unwrap().1.split_once(" bytes").unwrap().0.replace(',', "");
    let largest: usize = number.parse().unwrap();
    let name = "n".repeat(32);
    // White space inside brackets: a dictionary of any length.
    let send = |len: usize| {
        let args = ["send", &name, "--threshold=10MB", &format!("{name}:dictionary@-")].map(str::to_owned);
        Ended::of(nats.program().args(args), format!("[{}]", " ".repeat(len - 2)).as_bytes())
    };
    send(largest).expect(0);
    // Base64 grows in steps of three bytes.
    send(largest + 3).expect(2);
}

#[test]
fn what_is_wrong_decides_the_exit_code() {
    let nobody = "nats://127.0.0.1:1";
    let ended = Ended::of(program().args(["doctor", "--server", nobody, "--timeout=2s"]), b"").expect(3);
    assert!(ended.stdout.contains("fail") && ended.stdout.contains("is it running"), "{ended:?}");

    let nats = Nats::start();
    let ended = nats.run(&["doctor", "--fileserver=http://127.0.0.1:1", "--timeout=2s"]).expect(4);
    assert!(ended.stdout.contains("fail  file server"), "{ended:?}");

    let files = Files::start(&["--max-ttl=1h"]);
    let ended = nats.run(&["doctor", "--fileserver", &files.url]).expect(1);
    assert!(ended.stdout.contains("warn  lifetime of uploads: 3600 s"), "{ended:?}");
}

#[test]
fn a_server_that_says_nothing_does_not_hold_it_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = silent.local_addr().unwrap();
    let begun = std::time::Instant::now();
    let server = format!("nats://{addr}");
    Ended::of(program().args(["doctor", "--server", &server, "--timeout=500ms"]), b"").expect(3);
    let nats = Nats::start();
    nats.run(&["doctor", &format!("--fileserver=http://{addr}"), "--timeout=500ms"]).expect(4);
    assert!(begun.elapsed().as_secs() < 20);
}

//! Wrong arguments, help and completions.

use crate::servers::{Ended, Nats, program};

fn run(args: &[&str]) -> Ended {
    Ended::of(program().args(args), b"")
}

#[test]
fn wrong_arguments_are_told_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("table.txt");
    std::fs::write(&text, "a,b").unwrap();
    let table = format!("t:table@{}", text.display());
    // Nothing listens there, so an attempt to connect would end with another code.
    let server = "--server=nats://127.0.0.1:1";
    for args in [
        &["send"][..],
        &["send", "t", "nonsense"],
        &["send", "t", "a:text=b", "--ttl=soon"],
        &["send", "t", "a:text=b", "--ttl=1h", "--one-shot"],
        &["send", "t", "a:text=b", "--no-links", "--threshold=1"],
        &["send", "t", "a:text=b", "--dialect=kebab"],
        &["send", "t", "a:text=b", "--header=novalue"],
        &["send", "t", "a:text=b", "--payload-metadata=7:k=v"],
        &["send", "t", "a:text=b", "--fileserver=ftp://h"],
        &["send", "t", "a:text=b", "--password=x"],
        &["send", "t", "a:text=b", "--creds=/nonexistent"],
        &["send", "t", "a:binary@/nonexistent"],
        &["send", "t", "a:binary@-", "b:binary@-"],
        &["send", "t", "a:dictionary={broken"],
        &["send", "t", "a:jsontable={}"],
        &["send", "t", &table],
        &["send", "t", "--payload", "{}"],
        &["receive"],
        &["receive", "t", "--count=0"],
        &["receive", "t", "--allow-origin=http://h/path"],
        &["send", "t", "a:text=b", "--ttl=0"],
        &["send", "t", "a:text=b", "--ttl=500ms", "--fileserver=http://127.0.0.1:1"],
        &["doctor", "--fileserver=ftp://h"],
        &["doctor", "--fileserver=http://user:secret@h"],
        &["fileserver", "--listen=127.0.0.1:0", "--download-domain=http://user:secret@h"],
        &["unknown"],
        &["completions", "tcsh"],
    ] {
        let ended = run(&[args, &[server][..]].concat()).expect(2);
        assert!(ended.stderr.starts_with("error: ") && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
}

#[test]
fn what_may_be_secret_is_not_repeated() {
    for args in [
        &["receive", "t", "--allow-origin=http://user:SECRET@h"][..],
        &["receive", "t", "SECRET"],
        &["receive", "t", "--json=SECRET"],
        &["SECRET"],
        &["SECRET", "send", "t", "a:text=b"],
        &["help", "SECRET"],
        &["completions", "SECRET"],
        &["completions", "bash", "SECRET"],
        &["send", "t", "a:text=b", "--dialect=SECRET"],
        &["send", "t", "a:text=b", "--dialect", "SECRET"],
        &["send", "t", "a:text=b", "--no-links=SECRET"],
        &["send", "t", "a:text=b", "--one-shot=SECRET"],
        &["send", "t", "a:text=b", "--plik-tokn=SECRET"],
        &["send", "t", "a:text=b", "--ttl=SECRET"],
        &["send", "t", "a:text=b", "--threshold=SECRET"],
        &["--server", "nats://SECRET@h", "--server", "nats://SECRET@h", "nothing"],
        &["doctor", "--dialect=SECRET"],
        &["doctor", "--timeout=SECRET"],
        &["gc", "--grace=SECRET"],
        &["receive", "t", "--count=SECRET"],
        &["receive", "t", "--max-download=SECRET"],
        &["fileserver", "--listen=SECRET"],
        &["send", "t", "key:text SECRET"],
        &["send", "t", "--payload", "{\"text\":\"SECRET\""],
        &[
            "send",
            "t",
            "--payload",
            "{\"dataname\":\"a\",\"type\":\"text\",\"text\":\"SECRET\",\"SECRET\":1}",
        ],
        &["send", "t", "--payload", "{\"dataname\":[\"SECRET\"]}"],
        &[
            "send",
            "t",
            "--payload",
            "{\"dataname\":\"a\",\"type\":\"text\",\"path\":1,\"metadata\":\"SECRET\"}",
        ],
        &["send", "t", "--payload", "[\"SECRET\"]"],
        &["send", "t", "a:text=b", "--header=Authorization SECRET"],
        &["send", "t", "a:text=b", "--metadata=SECRET"],
        &["send", "t", "a:text=b", "--payload-metadata=SECRET"],
        &["send", "t", "a:text=b", "--payload-metadata=7:key=SECRET"],
        &["send", "t", "a:text=b", "--fileserver=http://user:SECRET@h"],
        &["doctor", "--fileserver=http://user:SECRET@h"],
        &["fileserver", "--listen=127.0.0.1:0", "--download-domain=http://user:SECRET@h"],
    ] {
        let ended = run(args).expect(2);
        assert!(
            ended.stderr.starts_with("error: ") && !ended.stderr.contains("SECRET"),
            "{args:?}: {ended:?}"
        );
    }
}

#[test]
fn empty_variables_are_none() {
    let nats = Nats::start();
    let mut send = nats.program();
    send.args(["send", "t", "a:text=b", "--server", &nats.url]);
    for name in [
        "NATS_URL",
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_CREDS",
        "NATS_NKEY",
        "NATS_CERT",
        "NATS_KEY",
        "NATS_CA",
        "NATSBRIDGE_FILESERVER",
        "PLIK_TOKEN",
        "RUST_LOG",
    ] {
        send.env(name, "");
    }
    Ended::of(&mut send, b"").expect(0);
    // Without a URL it is the default server's turn, and help works as well.
    Ended::of(program().args(["send", "--help"]).env("NATS_URL", ""), b"").expect(0);
}

#[test]
fn errors_name_what_they_are_about() {
    for (payload, part) in [
        ("conf:dictionary={\"a\":01}", "payload \"conf\": invalid input"),
        ("conf:binary@/nonexistent", "payload \"conf\": cannot read /nonexistent: No such file"),
        ("tab:table@/dev/null", "a table is read from .arrow"),
        ("tab:table=a,b", "CSV into a .csv file"),
    ] {
        let ended = run(&["send", "t", payload]).expect(2);
        assert!(ended.stderr.contains(part), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn subjects_and_headers_are_checked_by_the_engine() {
    let nats = Nats::start();
    for args in [
        &["send", "a b", "a:text=b"][..],
        &["send", "a.*", "a:text=b"],
        &["send", "a..b", "a:text=b"],
        &["send", "t", "a:text=b", "--header=X Y=1"],
        &["receive", "a.>.b", "--timeout=5s"],
    ] {
        nats.run(args).expect(2);
    }
}

#[test]
fn no_server_is_the_brokers_fault() {
    for args in [&["send", "t", "a:text=b"][..], &["receive", "t"], &["request", "t", "a:text=b"]] {
        let ended = run(&[args, &["--server=nats://127.0.0.1:1"]].concat()).expect(3);
        assert!(ended.stderr.starts_with("error: cannot connect to NATS"), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn help_documents_the_exit_codes() {
    for args in [&["--help"][..], &["send", "--help"], &["receive", "--help"], &["doctor", "--help"]] {
        let ended = run(args).expect(0);
        assert!(ended.stdout.contains("Exit codes:") && ended.stdout.contains("integrity"), "{ended:?}");
    }
    assert!(run(&["--version"]).expect(0).stdout.starts_with("natsbridge 0."));
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = run(&["completions", shell]).expect(0);
        assert!(ended.stdout.contains("natsbridge") && ended.stdout.contains("fileserver"), "{shell}");
    }
}

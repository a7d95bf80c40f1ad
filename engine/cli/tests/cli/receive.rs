//! What arrives is shown, saved and judged.

use std::fs;

use serde_json::json;

use crate::servers::{Files, Nats, Receiving};

fn envelope(payloads: &serde_json::Value) -> Vec<u8> {
    json!({"correlationId": "c", "senderName": "s\u{1b}[31m", "payloads": payloads}).to_string().into_bytes()
}

#[test]
fn hostile_names_stay_in_the_folder_and_nothing_is_overwritten() {
    let nats = Nats::start();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let names = ["../../etc/x", "..", "/etc/passwd", "a\0b", ".hidden", "con", "same", "same", "C:\\x", ""];
    let payloads: Vec<_> = names
        .iter()
        .map(|name| json!({"dataname": name, "type": "binary", "transport": "direct", "data": "QQ=="}))
        .collect();
    let receiving = Receiving::start(&nats, &["t", "--json", "--count=1", "--output", out.to_str().unwrap()]);
    nats.publish("t", envelope(&json!(payloads)));
    let message = receiving.finish().expect(0).json();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let saved: Vec<_> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(saved.len(), names.len(), "{saved:?}");
    assert!(saved.iter().all(|name| !name.starts_with('.') && !name.contains("..")), "{saved:?}");
    assert!(saved.contains(&"same-2".to_owned()) && saved.contains(&"_con".to_owned()), "{saved:?}");
    for payload in message["payloads"].as_array().unwrap() {
        let path = fs::canonicalize(payload["path"].as_str().unwrap()).unwrap();
        assert_eq!(path.parent().unwrap(), fs::canonicalize(&out).unwrap());
    }
}

#[test]
fn a_link_from_an_unnamed_place_is_refused_and_the_rest_is_readable() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let send =
        ["send", "t", "small:text=hi", "big:binary=0123456789", "--threshold=5", "--fileserver", &files.url];
    let run = |extra: &[&str]| {
        let receiving = Receiving::start(&nats, &[&["t", "--json", "--count=1"], extra].concat());
        nats.run(&send).expect(0);
        receiving.finish()
    };
    let ended = run(&[]).expect(6);
    let message = ended.json();
    assert_eq!(message["payloads"][0]["text"], "hi");
    let error = &message["payloads"][1]["error"];
    assert_eq!(error["kind"], "LinkRefused");
    assert!(error["message"].as_str().unwrap().contains("--allow-origin http://127.0.0.1"), "{error}");
    assert!(!ended.stdout.contains("/file/"), "{ended:?}");

    assert_eq!(run(&["--allow-origin", &files.url]).expect(0).json()["payloads"][1]["size"], 10);
    assert_eq!(run(&["--fileserver", &files.url]).expect(0).json()["payloads"][1]["size"], 10);
    let ended = run(&["--fileserver", &files.url, "--max-download=9"]).expect(8);
    assert_eq!(ended.json()["payloads"][1]["error"]["kind"], "LimitExceeded");
}

#[test]
fn a_link_that_never_ends_does_not_stop_the_messages_behind_it() {
    let nats = Nats::start();
    // Accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let args = ["t", "--json", "--count=2", "--allow-origin", &origin, "--download-timeout=500ms"];
    let receiving = Receiving::start(&nats, &args);
    let begun = std::time::Instant::now();
    nats.publish(
        "t",
        envelope(&json!([{"dataname": "a", "type": "binary", "transport": "link", "size": 1,
            "data": format!("{origin}/file/a/b/c")}])),
    );
    nats.run(&["send", "t", "a:text=b"]).expect(0);
    let ended = receiving.finish().expect(7);
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    let lines = ended.lines();
    assert_eq!(lines[0]["payloads"][0]["error"]["kind"], "TimedOut");
    assert_eq!(lines[1]["payloads"][0]["text"], "b");
}

#[test]
fn other_bytes_behind_a_link_than_were_sent_are_an_integrity_failure() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let send = ["send", "t", "a:binary=0123456789", "--threshold=1", "--json", "--fileserver", &files.url];
    let url = nats.run(&send).expect(0).json()["payloads"][0]["url"].as_str().unwrap().to_owned();
    for (size, sha256, kind) in [(10, "0".repeat(64), "DigestMismatch"), (9, String::new(), "LinkTooLong")] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().to_str().unwrap();
        let args = ["t", "--json", "--count=1", "--fileserver", &files.url, "--output", out];
        let receiving = Receiving::start(&nats, &args);
        nats.publish(
            "t",
            envelope(
                &json!([{"dataname": "a", "type": "binary", "transport": "link", "size": size, "data": url,
                "metadata": {"sha256": sha256}}]),
            ),
        );
        let message = receiving.finish().expect(5).json();
        assert_eq!(message["payloads"][0]["error"]["kind"], kind);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }
}

#[cfg(unix)]
#[test]
fn a_payload_that_finds_no_room_loses_no_other() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let dir = tempfile::tempdir().unwrap();
    let (large, out) = (dir.path().join("large"), dir.path().join("out"));
    fs::write(&large, "x".repeat(300_000)).unwrap();
    let args = ["t", "--json", "--count=2", "--fileserver", &files.url, "--output", out.to_str().unwrap()];
    let receiving = Receiving::start_with_short_files(&nats, false, &args);
    let [text, bytes] = ["text", "binary"].map(|kind| format!("{kind}:{kind}@{}", large.display()));
    // By link and inside the message.
    let linked = ["send", "t", &text, &bytes, "small:text=a", "--threshold=5", "--fileserver", &files.url];
    nats.run(&linked).expect(0);
    nats.run(&["send", "t", &text, &bytes, "small:text=a", "--no-links"]).expect(0);
    let ended = receiving.finish().expect(74);
    for message in ended.lines() {
        for large in [0, 1] {
            assert_eq!(message["payloads"][large]["error"]["kind"], "NotSaved", "{message}");
        }
        assert_eq!(message["payloads"][2]["text"], "a", "{message}");
    }
    let mut saved: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    saved.sort();
    assert_eq!(saved, ["small-2.txt", "small.txt"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_is_killed_while_it_saves_leaves_nothing() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let dir = tempfile::tempdir().unwrap();
    let large = dir.path().join("large");
    fs::write(&large, "x".repeat(300_000)).unwrap();
    for kind in ["text", "binary"] {
        let payload = format!("a:{kind}@{}", large.display());
        for way in [&["--no-links"][..], &["--threshold=1", "--fileserver", &files.url]] {
            let out = tempfile::tempdir().unwrap();
            let args = ["t", "--fileserver", &files.url, "--output", out.path().to_str().unwrap()];
            let receiving = Receiving::start_with_short_files(&nats, true, &args);
            nats.run(&[&["send", "t", &payload], way].concat()).expect(0);
            assert_eq!(receiving.finish().code, None, "killed by a signal");
            let left: Vec<_> = fs::read_dir(out.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.is_empty(), "{kind} {way:?}: {left:?}");
        }
    }
}

#[test]
fn broken_messages_are_told_and_the_stream_goes_on() {
    let nats = Nats::start();
    let receiving = Receiving::start(&nats, &["t", "--json", "--count=3"]);
    nats.publish("t", "{\"payloads\":[}");
    nats.publish(
        "t",
        envelope(&json!([
            {"dataname": "bad", "type": "text", "transport": "direct", "data": "!"},
            {"dataname": "good", "type": "text", "transport": "direct", "data": "aGk=", "size": 5},
        ])),
    );
    nats.run(&["send", "t", "a:text=b"]).expect(0);
    let ended = receiving.finish().expect(8);
    let lines = ended.lines();
    assert_eq!(lines[0]["error"]["kind"], "Malformed");
    assert_eq!(lines[0]["error"]["offset"], 13);
    assert!(ended.stderr.contains("malformed message"), "{ended:?}");
    assert_eq!(lines[1]["payloads"][0]["error"]["kind"], "InvalidBase64");
    assert_eq!(lines[1]["payloads"][1]["text"], "hi");
    assert_eq!(lines[1]["payloads"][1]["announcedSize"], 5);
    assert_eq!(lines[2]["payloads"][0]["text"], "b");
}

#[test]
fn metadata_is_shown_whole_and_harmless() {
    let nats = Nats::start();
    let receiving = Receiving::start(&nats, &["t", "--json", "--count=1"]);
    let metadata = "{\"x\": 1e400,\n\"y\":\"\u{9b}\u{202e}\"}";
    nats.publish(
        "t",
        format!(
            r#"{{"metadata":{metadata},"payloads":[
            {{"dataname":"a","type":"image","transport":"direct","data":"QQ==","metadata":{metadata}}}]}}"#
        ),
    );
    let ended = receiving.finish().expect(0);
    let shown = r#"{"x": 1e400, "y":"\u009b\u202e"}"#;
    assert_eq!(ended.stdout.matches(shown).count(), 2, "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 1);
    assert!(ended.stdout.contains(r#""omitted":"bytes, not text; use --output""#), "{}", ended.stdout);
}

#[test]
fn a_person_sees_previews_and_no_escape_sequences() {
    let nats = Nats::start();
    let receiving = Receiving::start(&nats, &["t", "--count=1"]);
    nats.publish(
        "t",
        envelope(&json!([
            {"dataname": "n\u{1b}]0;x\u{7}", "type": "text", "transport": "direct", "data": "G1szMW1yZWQKdHdv"},
            {"dataname": "d", "type": "dictionary", "transport": "direct", "data": {"a": 1}},
            {"dataname": "t", "type": "table", "transport": "direct", "data": [{"x": 1}]},
            {"dataname": "b", "type": "image", "transport": "carrier pigeon", "data": "QQ=="},
        ])),
    );
    let ended = receiving.finish().expect(8);
    for part in [
        "s\\u{1b}[31m",
        "[0] n\\u{1b}]0;x\\u{7}",
        "| \\u{1b}[31mred",
        "| two",
        "|   \"a\": 1",
        "| x",
        "failed:",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains(['\x1b', '\x07']), "{}", ended.stdout);
}

#[test]
fn waiting_ends_after_the_time_given() {
    let nats = Nats::start();
    let ended = Receiving::start(&nats, &["t", "--count=2", "--timeout=300ms"]).finish().expect(7);
    assert!(ended.stderr.contains("0 of 2"), "{ended:?}");
    Receiving::start(&nats, &["t", "--timeout=300ms"]).finish().expect(0);
}

#[test]
fn members_of_a_queue_group_share_the_messages() {
    let nats = Nats::start();
    let args = ["t.*", "--queue=g", "--json", "--timeout=2s"];
    let group = [Receiving::start(&nats, &args), Receiving::start(&nats, &args)];
    for _ in 0..6 {
        nats.run(&["send", "t.x", "a:text=b"]).expect(0);
    }
    let came: usize = group.into_iter().map(|member| member.finish().expect(0).lines().len()).sum();
    assert_eq!(came, 6);
}

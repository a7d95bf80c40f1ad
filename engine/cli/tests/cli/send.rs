//! What is sent arrives: all types, both dialects, every way to give a payload.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::servers::{Ended, Files, Nats, Receiving};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Sends with `--json` to a receiver with `--json`; the receipt and the message.
fn round_trip(send: &[&str], receive: &[&str]) -> (Value, Value) {
    let nats = Nats::start();
    let receiving =
        Receiving::start(&nats, &[&["t", "--json", "--count=1", "--timeout=60s"], receive].concat());
    let receipt = nats.run(&[&["send", "t", "--json"], send].concat()).expect(0);
    assert_eq!(receipt.stderr, "");
    (receipt.json(), receiving.finish().expect(0).json())
}

#[test]
fn all_types_arrive_whole_in_both_dialects() {
    let dir = tempfile::tempdir().unwrap();
    let csv = write(dir.path(), "t.csv", "id,name\n1,Ada\n2,\n");
    let file = write(dir.path(), "f.bin", (0..=255).collect::<Vec<u8>>());
    for (dialect, table) in [("camel", "table"), ("snake", "arrowtable")] {
        let out = dir.path().join(dialect);
        let send = [
            "--dialect",
            dialect,
            "text:text=Grüße\n=:@",
            "dict:dictionary={\"b\": [1.50, null], \"a\": 18446744073709551615}",
            &format!("tab:table@{csv}"),
            &format!("img:image@{file}"),
            &format!("aud:audio@{file}"),
            &format!("vid:video@{file}"),
            &format!("bin:binary@{file}"),
            "rows:jsontable=[{\"x\":1}]",
            "own:my-type=raw",
        ];
        let (receipt, message) = round_trip(&send, &["--output", out.to_str().unwrap()]);
        assert_eq!(message["dialect"], dialect);
        for field in ["correlationId", "msgId"] {
            assert_eq!(receipt[field], message[field]);
        }
        assert_eq!((&receipt["subject"], &receipt["delivery"]), (&json!("t"), &json!("flushed")));
        assert_eq!(receipt["messageLen"], message["messageLen"]);

        let payloads = message["payloads"].as_array().unwrap();
        let types: Vec<_> = payloads.iter().map(|payload| payload["type"].as_str().unwrap()).collect();
        let expected =
            ["text", "dictionary", table, "image", "audio", "video", "binary", "jsontable", "my-type"];
        assert_eq!(types, expected);
        for (sent, came) in receipt["payloads"].as_array().unwrap().iter().zip(payloads) {
            for field in ["dataname", "type", "transport", "size", "sha256"] {
                assert_eq!(sent[field], came[field], "{came}");
            }
            assert_eq!(came["verification"], "inline");
            let saved = fs::read(came["path"].as_str().unwrap()).unwrap();
            assert_eq!(sha256(&saved), came["sha256"]);
        }
        assert_eq!(payloads[0]["text"], "Grüße\n=:@");
        assert_eq!(payloads[1]["value"], json!({"b": [1.5, null], "a": u64::MAX}));
        assert_eq!(payloads[2]["value"], json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": null}]));
        assert_eq!(payloads[3]["sha256"], sha256(&(0..=255).collect::<Vec<u8>>()));
        assert_eq!(payloads[7]["value"], json!([{"x": 1}]));
        assert_eq!(payloads[8]["sha256"], sha256(b"raw"));
    }
}

#[test]
fn tables_come_from_csv_json_and_arrow_files() {
    let dir = tempfile::tempdir().unwrap();
    let rows = json!([{"id": 1, "name": "a", "ok": true}, {"id": 2, "name": "b", "ok": false}]);
    let csv = write(dir.path(), "t.csv", "id,name,ok\n1,a,true\n2,b,false\n");
    let array = write(dir.path(), "t.json", rows.to_string());
    let lines = write(
        dir.path(),
        "lines.json",
        "{\"id\":1,\"name\":\"a\",\"ok\":true}\n{\"id\":2,\"name\":\"b\",\"ok\":false}\n",
    );
    let out = dir.path().join("out");
    let send = [
        format!("csv:table@{csv}"),
        format!("array:table@{array}"),
        format!("lines:arrowtable@{lines}"),
        format!("inline:table={rows}"),
    ];
    let send: Vec<&str> = send.iter().map(String::as_str).collect();
    let (_, message) = round_trip(&send, &["--output", out.to_str().unwrap()]);
    for payload in message["payloads"].as_array().unwrap() {
        assert_eq!(payload["value"], rows, "{}", payload["dataname"]);
        assert_eq!(payload["rowCount"], 2);
    }
    // What was saved can be sent again, and is the same.
    let first = &message["payloads"][0];
    let again = format!("again:table@{}", first["path"].as_str().unwrap());
    assert!(again.ends_with(".arrows"));
    let (_, message) = round_trip(&[&again], &[]);
    assert_eq!(message["payloads"][0]["sha256"], first["sha256"]);
}

#[test]
fn arrow_files_are_sent_as_streams() {
    let dir = tempfile::tempdir().unwrap();
    let batch = arrow_array::record_batch!(("n", Int32, [1, 2, 3])).unwrap();
    let path = dir.path().join("t.arrow");
    let file = fs::File::create(&path).unwrap();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(file, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    let (_, message) = round_trip(&[&format!("t:table@{}", path.display())], &[]);
    assert_eq!(message["payloads"][0]["value"], json!([{"n": 1}, {"n": 2}, {"n": 3}]));
}

#[test]
fn standard_input_is_a_payload() {
    let nats = Nats::start();
    let receiving = Receiving::start(&nats, &["t", "--json", "--count=1"]);
    let bytes = vec![7; 100_000];
    Ended::of(nats.program().args(["send", "t", "in:binary@-"]), &bytes).expect(0);
    let message = receiving.finish().expect(0).json();
    assert_eq!(message["payloads"][0]["sha256"], sha256(&bytes));
}

#[test]
fn both_forms_of_payloads_keep_the_order_of_the_command_line() {
    let (_, message) = round_trip(
        &[
            "a:text=1",
            "--payload",
            r#"{"dataname":"b:text=x","type":"text","text":"2","metadata":{"k":[1]}}"#,
            "c:text=3",
            "--payload",
            r#"{"dataname":"d","type":"binary","base64":"NA=="}"#,
        ],
        &[],
    );
    let payloads = message["payloads"].as_array().unwrap();
    let names: Vec<_> = payloads.iter().map(|payload| payload["dataname"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b:text=x", "c", "d"]);
    assert_eq!(payloads[1]["metadata"], json!({"k": [1]}));
    assert_eq!(payloads[3]["sha256"], sha256(b"4"));
}

#[test]
fn every_field_can_be_set() {
    let (_, message) = round_trip(
        &[
            "--correlation-id=c",
            "--msg-id=m",
            "--purpose=ACK",
            "--sender-name=sn",
            "--sender-id=si",
            "--receiver-name=rn",
            "--receiver-id=ri",
            "--reply-to=r.t",
            "--reply-to-msg-id=rm",
            "--metadata=n=1",
            "--metadata=t=a=b",
            "--header=X-Test=yes",
            "--payload-metadata=0:lang=en",
            "--payload-metadata=b:n={\"x\":1}",
            "a:text=",
            "b:text=",
        ],
        &[],
    );
    for (field, expected) in [
        ("correlationId", "c"),
        ("msgId", "m"),
        ("msgPurpose", "ACK"),
        ("senderName", "sn"),
        ("senderId", "si"),
        ("receiverName", "rn"),
        ("receiverId", "ri"),
        ("replyTo", "r.t"),
        ("replyToMsgId", "rm"),
    ] {
        assert_eq!(message[field], expected, "{field}");
    }
    assert_eq!(message["metadata"], json!({"n": 1, "t": "a=b"}));
    assert_eq!(message["headers"], json!([["X-Test", "yes"]]));
    assert_eq!(message["payloads"][0]["metadata"], json!({"lang": "en"}));
    assert_eq!(message["payloads"][1]["metadata"], json!({"n": {"x": 1}}));
}

#[test]
fn large_payloads_travel_by_link() {
    let files = Files::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..2_500_000u32).map(|n| (n % 251) as u8).collect();
    let big = format!("big:binary@{}", write(dir.path(), "big", &bytes));
    let server = ["--fileserver", &files.url];
    for extra in [&["--ttl=1h"][..], &["--one-shot"], &["--threshold=10"]] {
        let send = [&["small:text=twelve bytes", &big], &server[..], extra].concat();
        let (receipt, message) = round_trip(&send, &server);
        let payload = &message["payloads"][1];
        assert_eq!((&payload["transport"], &payload["verification"]), (&json!("link"), &json!("digest")));
        assert_eq!(payload["sha256"], sha256(&bytes));
        assert!(receipt["payloads"][1]["url"].as_str().unwrap().starts_with(&files.url));
        let small = if extra == ["--threshold=10"] { "link" } else { "direct" };
        assert_eq!(message["payloads"][0]["transport"], small);
    }
}

#[test]
fn without_links_everything_is_direct_or_fails_with_both_sizes() {
    let nats = Nats::start_with("max_payload: 4MB");
    let dir = tempfile::tempdir().unwrap();
    let big = format!("big:binary@{}", write(dir.path(), "big", vec![1; 2_000_000]));
    let nowhere = "--fileserver=http://127.0.0.1:1";
    nats.run(&["send", "t", &big, "--no-links", nowhere]).expect(0);

    let nats = Nats::start();
    let failed = nats.run(&["send", "t", &big, "--no-links", nowhere]).expect(2);
    assert!(failed.stderr.contains("--no-links") && failed.stderr.contains("limit 1048576"), "{failed:?}");
    assert!(failed.stderr.contains("needed 2667"), "{failed:?}");

    let failed = nats.run(&["send", "t", &big]).expect(2);
    assert!(failed.stderr.contains("needed 2000000, limit 1000000"), "{failed:?}");
    assert!(failed.stderr.contains("--fileserver"), "{failed:?}");
    assert_eq!((failed.stderr.lines().count(), failed.stdout.as_str()), (1, ""));

    let failed = nats.run(&["send", "t", &big, nowhere]).expect(4);
    assert_eq!(failed.stderr.lines().count(), 1, "{failed:?}");
}

#[test]
fn a_person_gets_a_summary_without_the_secret_in_the_link() {
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let text = format!("a:text={}", "x".repeat(2000));
    let sent = nats
        .run(&["send", "t", &text, "--threshold=1000", "--fileserver", &files.url, "--correlation-id=c-1"])
        .expect(0);
    assert!(sent.stdout.contains("sent 1 payload on t"), "{sent:?}");
    assert!(sent.stdout.contains("c-1") && sent.stdout.contains("link  2,000 bytes"), "{sent:?}");
    assert!(!sent.stdout.contains("/file/"), "{sent:?}");
    assert!(!sent.stdout.contains('\x1b') && sent.stderr.is_empty(), "{sent:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (nats, files) = (Nats::start(), Files::start(&[]));
    let bytes: Vec<u8> = (0..600_000).map(|at| (at % 251) as u8).collect();
    let (path, written) = (pipe.clone(), bytes.clone());
    let writer = std::thread::spawn(move || fs::write(path, written));
    let payload = format!("p:binary@{}", pipe.display());
    let sent = ["send", "t", "--json", "--threshold=1000", "--fileserver", &files.url, &payload];
    let receipt = nats.run(&sent).expect(0).json();
    writer.join().unwrap().unwrap();
    assert_eq!(receipt["payloads"][0]["size"], 600_000, "{receipt}");
}

//! Messages in files.

use crate::servers::{Ended, program};

fn inspect(args: &[&str], message: &str) -> Ended {
    Ended::of(program().arg("inspect").args(args), message.as_bytes())
}

#[test]
fn a_valid_message_is_shown_with_its_payloads() {
    let message = r#"{"correlation_id":"c-1","sender_name":"s","metadata":{"k":1},"payloads":[
        {"dataname":"greeting","payload_type":"text","transport":"direct","size":5,"data":"SGVsbG8="},
        {"dataname":"wrong","payload_type":"text","transport":"direct","size":9,"data":"SGVsbG8="},
        {"dataname":"far","payload_type":"image","transport":"link","size":7,"data":"http://h:80/file/SECRET"}]}"#;
    let ended = inspect(&[], message).expect(0);
    for part in [
        "snake dialect",
        "payloads: 3",
        "c-1",
        "| Hello",
        "size mismatch: the message says 9 bytes",
        "http://h:80/…",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("SECRET"), "{}", ended.stdout);
    assert!(inspect(&["--show-links"], message).expect(0).stdout.contains("http://h/file/SECRET"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.json");
    std::fs::write(&path, message).unwrap();
    inspect(&[path.to_str().unwrap()], "").expect(0);
}

#[test]
fn defects_are_shown_with_their_place() {
    let message = r#"{"payloads":[{"dataname":"a","type":"text","transport":"direct","data":"SGV*"},
        {"dataname":"b","type":"text","transport":"direct","data":"SGVsbG8="}]}"#;
    let ended = inspect(&[], message).expect(8);
    let offset = message.find('*').unwrap();
    assert!(ended.stdout.contains(&format!("at byte {offset}")), "{}", ended.stdout);
    assert!(ended.stdout.contains("| Hello"), "{}", ended.stdout);

    let ended = inspect(&[], r#"{"msgId":1,"payloads":[]}"#).expect(8);
    assert!(ended.stderr.contains("at byte 9"), "{ended:?}");
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
    inspect(&["/nonexistent"], "").expect(2);
}

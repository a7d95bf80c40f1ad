//! The engine and the peers, which were written apart, judge and read the same messages alike.

use std::path::Path;
use std::time::Duration;

use natsbridge::envelope::PayloadView;
use natsbridge::{Dialect, Envelope, Transport};
use natsbridge_conformance::{Peer, difference, fields, parse_line, sha256};
use serde_json::Value;

use crate::document::{clauses, code, table};
use crate::generator::Generator;
use crate::reading::open;

const MESSAGES: usize = 4000;
const PEER_TIME: Duration = Duration::from_secs(60);

/// One line of a peer for each message. No origin of these messages is allowed, so nothing is fetched.
async fn decoded_by(peer: Peer, dir: &Path, names: &[String]) -> Vec<String> {
    let mut args = vec!["decode", "--fileserver", "http://store.invalid", "--max-retries", "0"];
    args.extend(names.iter().map(String::as_str));
    let outcome = peer.spawn(dir, PEER_TIME, args).unwrap().finish().await.unwrap();
    assert_eq!(outcome.errors, "", "{peer:?}");
    assert_eq!(outcome.lines.len(), names.len(), "{peer:?}");
    outcome.lines
}

fn write(dir: &Path, messages: &[Vec<u8>]) -> Vec<String> {
    let names = (0..messages.len()).map(|n| n.to_string());
    names
        .zip(messages)
        .inspect(|(name, message)| std::fs::write(dir.join(name), message).unwrap())
        .map(|(name, _)| name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_messages_are_read_alike_by_the_engine_and_both_peers() {
    // Another seed gives other messages, for whoever wants to search longer.
    let seed = std::env::var("NATSBRIDGE_SEED").map_or(20_260_222, |seed| seed.parse().unwrap());
    let mut generator = Generator::new(seed);
    let messages: Vec<Vec<u8>> = (0..MESSAGES).map(|_| generator.message()).collect();
    let dir = tempfile::tempdir().unwrap();
    let names = write(dir.path(), &messages);
    let [python, node] = Peer::ALL.map(|peer| decoded_by(peer, dir.path(), &names));
    let (python, node) = tokio::join!(python, node);

    let mut seen = Seen::default();
    let mut wrong = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let read = Envelope::decode(message.clone());
        seen.count(&read);
        for (peer, lines) in Peer::ALL.into_iter().zip([&python, &node]) {
            if let Err(what) = same(&read, &parse_line(&lines[index]).unwrap()) {
                let text = String::from_utf8_lossy(message);
                wrong.push(format!("{peer:?}, message {index}: {what}\n    {text:?}\n    {}", lines[index]));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} disagreements, first:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
    // The corpus is worth something only while it has enough of everything.
    println!("{seen:?}");
    assert!(seen.refused > MESSAGES / 8 && seen.accepted > MESSAGES / 3, "{seen:?}");
    assert!(
        seen.payloads_refused > 500 && seen.payloads_read > 1500 && seen.values > 800 && seen.odd > 100,
        "{seen:?}"
    );
}

#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    refused: usize,
    payloads_read: usize,
    payloads_refused: usize,
    links: usize,
    values: usize,
    odd: usize,
}

impl Seen {
    fn count(&mut self, read: &natsbridge::Result<Envelope>) {
        let Ok(envelope) = read else {
            self.refused += 1;
            return;
        };
        self.accepted += 1;
        for view in envelope.payloads() {
            match open(&view) {
                None => self.links += 1,
                Some(opened) => {
                    self.odd += usize::from(opened.odd);
                    match opened.value {
                        Ok(value) => {
                            self.payloads_read += 1;
                            self.values += usize::from(value.is_some());
                        }
                        Err(_) => self.payloads_refused += 1,
                    }
                }
            }
        }
    }
}

/// What the engine has read against what a peer says.
fn same(read: &natsbridge::Result<Envelope>, line: &Value) -> Result<(), String> {
    let error = line.get("error");
    let envelope = match (read, error) {
        (Ok(envelope), None) => envelope,
        // Where a reader finds out is its own matter, as long as it says where (`ENV-R10`).
        (Err(ours), Some(theirs)) => {
            let told = ours.offset().is_some() && theirs["offset"].is_u64();
            return if told { Ok(()) } else { Err("refused, but nobody knows where".to_owned()) };
        }
        (Ok(_), Some(_)) => return Err("only the peer refuses it".to_owned()),
        (Err(error), None) => return Err(format!("only the engine refuses it: {error}")),
    };
    for (name, value) in fields(envelope) {
        equal(name, Some(value.into()), line[name].clone())?;
    }
    let dialect = if envelope.dialect() == Dialect::Camel { "camel" } else { "snake" };
    equal("dialect", Some(dialect.into()), line["dialect"].clone())?;
    same_metadata(envelope.metadata(), &line["metadata"])?;
    let lines = line["payloads"].as_array().unwrap();
    equal("payloads", Some(envelope.payload_count().into()), lines.len().into())?;
    envelope.payloads().zip(lines).try_for_each(|(view, line)| {
        same_payload(&view, line).map_err(|what| format!("payload {}: {what}", view.index()))
    })
}

fn same_payload(view: &PayloadView<'_>, line: &Value) -> Result<(), String> {
    let opened = open(view);
    if view.defect().is_none() {
        equal("dataname", Some(view.dataname().into()), line["dataname"].clone())?;
        equal("type", Some(view.type_name().into()), line["type"].clone())?;
        equal("encoding", Some(view.encoding().into()), line["encoding"].clone())?;
        equal(
            "transport",
            view.transport().map(|transport| transport.as_str().into()),
            line["transport"].clone(),
        )?;
        equal("size", view.size().map(Value::from), line["declaredSize"].clone())?;
        same_metadata(view.metadata(), &line["metadata"])?;
    }
    let clause = line["error"]["clause"].as_str();
    let Some(opened) = opened else {
        // The URL is good; whether it may be fetched is another matter.
        return match clause {
            Some(clause) if clause.starts_with("POL-") => Ok(()),
            _ => Err(format!("a link to nowhere allowed, but {clause:?}")),
        };
    };
    if view.transport() == Some(Transport::Link) {
        return if clause.is_some() {
            Ok(())
        } else {
            Err("the link is refused by the engine only".to_owned())
        };
    }
    equal("bytes", opened.raw.as_deref().map(|raw| sha256(raw).into()), line["sha256"].clone())?;
    match (&opened.value, clause) {
        (Err(_), Some(_)) => Ok(()),
        (Err(error), None) => Err(format!("refused by the engine only: {error}")),
        (Ok(_), Some(_)) => Err("refused by the peer only".to_owned()),
        (Ok(value), None) => {
            let noted = line["notes"].as_array().is_some_and(|notes| !notes.is_empty());
            equal("something to report", Some(opened.odd.into()), noted.into())?;
            match value {
                Some((key, value)) => equal(key, Some(value.clone()), line[*key].clone()),
                None => Ok(()),
            }
        }
    }
}

/// Metadata as values; what holds a number beyond an f64 is not read as values at all (`TYPE-4`).
fn same_metadata(ours: natsbridge::MetadataView<'_>, theirs: &Value) -> Result<(), String> {
    match ours.to_value::<Value>() {
        Ok(value) => equal("metadata", Some(value), theirs.clone()),
        Err(_) => Ok(()),
    }
}

fn equal(what: &str, ours: Option<Value>, theirs: Value) -> Result<(), String> {
    match difference(&ours.unwrap_or(Value::Null), &theirs) {
        None => Ok(()),
        Some(difference) => Err(format!("{what}{difference}")),
    }
}

/// `B64-6`: the engine counts from the start of the message, the peers from that of `data`.
#[tokio::test(flavor = "multi_thread")]
async fn base64_errors_are_found_at_the_same_character() {
    let cells = table("| `data`, as a JSON string | result |");
    let mut texts: Vec<String> = cells.iter().flat_map(|row| code(&row[0])).collect();
    let mut generator = Generator::new(7);
    texts.extend((0..300).map(|_| generator.damaged_base64()));
    // What has no escapes has one offset from `data`'s first byte, in the message and in the text.
    texts.retain(|text| !text.contains('\\'));
    let head = r#"{"payloads":[{"type":"binary","transport":"direct","data":"#;
    let messages: Vec<Vec<u8>> = texts.iter().map(|data| format!("{head}{data}}}]}}").into_bytes()).collect();
    let dir = tempfile::tempdir().unwrap();
    let names = write(dir.path(), &messages);
    let mut errors = 0;
    for peer in Peer::ALL {
        for ((message, line), text) in
            messages.iter().zip(decoded_by(peer, dir.path(), &names).await).zip(&texts)
        {
            let read = Envelope::decode(message.clone()).unwrap().payload(0).unwrap().decode();
            let theirs = &parse_line(&line).unwrap()["payloads"][0]["error"];
            let ours = read.err().map(|error| error.offset().unwrap() - head.len() as u64 - 1);
            assert_eq!(ours.map(Value::from), theirs.get("offset").cloned(), "{peer:?} {text} {theirs}");
            errors += usize::from(ours.is_some());
        }
    }
    assert!(errors > 200, "{errors}");
}

/// The clause that a peer gives for each refusal is the one that SPEC.md files it under.
#[tokio::test(flavor = "multi_thread")]
async fn the_peers_name_the_clauses() {
    let dir = tempfile::tempdir().unwrap();
    for (marker, pointer) in
        [("refused messages", "/error/clause"), ("refused payloads", "/payloads/0/error/clause")]
    {
        let (expected, messages): (Vec<_>, Vec<_>) = clauses(marker).into_iter().unzip();
        let messages: Vec<Vec<u8>> = messages.into_iter().map(String::into_bytes).collect();
        let names = write(dir.path(), &messages);
        for peer in Peer::ALL {
            let lines = decoded_by(peer, dir.path(), &names).await;
            let found: Vec<String> = lines
                .iter()
                .map(|line| {
                    parse_line(line)
                        .unwrap()
                        .pointer(pointer)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect();
            assert_eq!(found, expected, "{peer:?}");
        }
    }
}

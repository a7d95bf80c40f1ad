//! What one side sent against what the other side says it received.

use natsbridge::envelope::PayloadView;
use natsbridge::{Dialect, Envelope, Transport};
use natsbridge_conformance::{difference, fields, sha256};
use serde_json::Value;

use crate::items::Item;

/// A peer's line has the fields and the metadata of the envelope.
pub(crate) fn same_fields(envelope: &Envelope, line: &Value) {
    for (name, value) in fields(envelope) {
        assert_eq!(line[name], value, "{name}");
    }
    let dialect = if envelope.dialect() == Dialect::Camel { "camel" } else { "snake" };
    assert_eq!(line["dialect"], dialect);
    if let Some(metadata) = line.get("metadata") {
        same(&envelope.metadata().to_value::<Value>().unwrap(), metadata, "metadata");
    }
}

/// A peer's report of a payload against the item that was sent and the entry that it was sent as.
pub(crate) fn same_payload(item: &Item, entry: &PayloadView<'_>, dialect: Dialect, line: &Value) {
    let name = item.payload.dataname();
    let bytes = item.bytes();
    assert_eq!(line.get("error"), None, "{name:?}");
    assert_eq!(line["dataname"], name);
    assert_eq!(line["type"], item.type_name(dialect), "{name:?}");
    assert_eq!(line["id"], entry.id(), "{name:?}");
    assert_eq!(line["encoding"], entry.encoding(), "{name:?}");
    assert_eq!(line["transport"], entry.transport().unwrap().as_str(), "{name:?}");
    assert_eq!(line["declaredSize"], bytes.len(), "{name:?}");
    assert_eq!(line["size"], bytes.len(), "{name:?}");
    assert_eq!(line["sha256"], sha256(&bytes), "{name:?}");
    assert_eq!(line["notes"], Value::Array(vec![]), "{name:?}");
    assert!(std::fs::read(line["path"].as_str().unwrap()).unwrap() == bytes, "{name:?}: other bytes");
    same(&entry.metadata().to_value::<Value>().unwrap(), &line["metadata"], name);
    check_metadata(item, entry);
    if let Some((key, expected)) = &item.expected {
        same(expected, &with_milliseconds(&line[*key]), name);
    }
}

/// The payload's metadata as written: the sender's own, and for a link the digest and the expiry behind it.
pub(crate) fn check_metadata(item: &Item, entry: &PayloadView<'_>) {
    let mut own = entry.metadata().to_value::<Value>().unwrap();
    if entry.transport() == Some(Transport::Link) {
        let entries = own.as_object_mut().unwrap();
        assert_eq!(entries.remove("sha256"), Some(sha256(&item.bytes()).into()));
        let expires = entries.remove("expiresAt").unwrap();
        assert_eq!(expires.as_str().unwrap().len(), 24);
        let text = entry.metadata().as_json();
        let own_end =
            item.metadata.as_object().unwrap().keys().filter_map(|key| text.find(&format!("{key:?}:"))).max();
        let (sha256, expires) = (text.find("\"sha256\":").unwrap(), text.find("\"expiresAt\":").unwrap());
        assert!(own_end.unwrap_or(0) < sha256 && sha256 < expires, "{text}");
        assert_eq!(entry.encoding(), "none");
    } else {
        assert_eq!(entry.encoding(), "base64");
    }
    assert_eq!(own, item.metadata);
}

/// Two values are the same but for the spelling of numbers.
pub(crate) fn same(expected: &Value, found: &Value, what: &str) {
    if let Some(difference) = difference(expected, found) {
        panic!("{what}: {difference}");
    }
}

/// pyarrow's rows have timestamps as text, apache-arrow's as milliseconds: the latter here.
fn with_milliseconds(rows: &Value) -> Value {
    let mut rows = rows.clone();
    for cell in rows.as_array_mut().into_iter().flatten().filter_map(|row| row.get_mut("at")) {
        if let Some(text) = cell.as_str() {
            let time = natsbridge::timestamp::parse(&text.replacen(' ', "T", 1)).unwrap();
            let millis = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            *cell = u64::try_from(millis).unwrap().into();
        }
    }
    rows
}

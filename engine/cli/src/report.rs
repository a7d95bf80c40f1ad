//! A received message, for people or as a line of JSON; its payloads fetched, checked and saved one by one.

use std::fmt::Write as _;

use natsbridge::{
    Dialect, Envelope, Message, PayloadData, PayloadType, ReceivedPayload, Transport, Verification,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::digest::{hex, sha256};
use crate::exit::{Failure, chain, kind_code};
use crate::folder::Folder;
use crate::output::{alarming, bold, bytes, json, note, visible, write};
use crate::preview::{Preview, SHOWN_OF_MESSAGE, preview};
use crate::progress::Bar;
use crate::safe_name::{safe_name, with_extension};

/// How to show messages, and where payloads go.
pub(crate) struct Reporter {
    pub(crate) json: bool,
    pub(crate) folder: Option<Folder>,
}

impl Reporter {
    /// Shows a message. The exit code of its first failed payload, if one failed.
    pub(crate) async fn message(&self, message: &Message) -> Result<Option<u8>, Failure> {
        let mut failed = None;
        let mut payloads = Vec::with_capacity(message.payload_count());
        let mut left = SHOWN_OF_MESSAGE;
        if !self.json {
            write(head(message).as_bytes())?;
        }
        for payload in message.payloads() {
            let arrived = self.payload(&payload).await?;
            if let Err(error) = &arrived {
                failed.get_or_insert_with(|| error.code());
            }
            if self.json {
                payloads.push(PayloadLine::new(&payload, arrived, &mut left));
            } else {
                write(for_people(&payload, &arrived).as_bytes())?;
            }
        }
        if self.json {
            json(&MessageLine::new(message, payloads))?;
        }
        Ok(failed)
    }

    /// Tells of a message that is none.
    pub(crate) fn broken(&self, error: &natsbridge::Error) -> Result<u8, Failure> {
        note(&format!("error: {}", chain(error)));
        if self.json {
            json(&BrokenLine { error: ErrorLine::new(error) })?;
        }
        Ok(kind_code(error.kind()))
    }

    /// Fetches, checks and saves; the bytes are let go of before the next payload.
    async fn payload(&self, payload: &ReceivedPayload<'_>) -> Result<Result<Arrived, Failure>, Failure> {
        if let Some(folder) = &self.folder
            && is_bytes(payload)
        {
            return self.save(folder, payload).await;
        }
        let data = match payload.fetch().await {
            Ok(data) => data,
            Err(error) => return Ok(Err(error.into())),
        };
        let preview = match preview(&data) {
            Ok(preview) => preview,
            Err(error) => return Ok(Err(error.into())),
        };
        let (sha256, path) = match &self.folder {
            Some(folder) => {
                let name = file_name(payload.dataname(), payload.index(), extension(&data));
                match folder.save(&name, payload, Some(&data), None).await {
                    Ok(saved) => (hex(&saved.sha256), Some(saved.path.display().to_string())),
                    Err(failure) => return only_this(failure),
                }
            }
            None => (sha256([data.bytes()]), None),
        };
        Ok(Ok(Arrived {
            size: data.bytes().len() as u64,
            sha256,
            verification: verification(data.verification()),
            size_mismatch: data.size_mismatch(),
            path,
            preview,
        }))
    }

    /// Saves what there is nothing to show of on its way, whatever its size.
    async fn save(
        &self,
        folder: &Folder,
        payload: &ReceivedPayload<'_>,
    ) -> Result<Result<Arrived, Failure>, Failure> {
        let name = file_name(payload.dataname(), payload.index(), "");
        let (bar, progress) = Bar::receiving();
        let saved = folder.save(&name, payload, None, Some(progress)).await;
        drop(bar);
        let saved = match saved {
            Ok(saved) => saved,
            Err(failure) => return only_this(failure),
        };
        Ok(Ok(Arrived {
            size: saved.len,
            sha256: hex(&saved.sha256),
            verification: verification(saved.verification),
            size_mismatch: saved.size_mismatch,
            path: Some(saved.path.display().to_string()),
            preview: Preview::Bytes,
        }))
    }
}

/// Only this payload fails, unless nothing can be saved at all.
fn only_this<T>(failure: Failure) -> Result<Result<T, Failure>, Failure> {
    let fatal = matches!(failure, Failure::Output { .. }) && !failure.is_about_one_file();
    if fatal { Err(failure) } else { Ok(Err(failure)) }
}

/// Whether a payload comes by link and nothing of it is shown.
fn is_bytes(payload: &ReceivedPayload<'_>) -> bool {
    payload.transport() == Some(Transport::Link)
        && !matches!(
            payload.payload_type(),
            PayloadType::Text | PayloadType::Dictionary | PayloadType::JsonTable | PayloadType::Table
        )
}

/// A payload that is whole and valid.
struct Arrived {
    size: u64,
    sha256: String,
    verification: &'static str,
    size_mismatch: Option<u64>,
    path: Option<String>,
    preview: Preview,
}

fn file_name(dataname: &str, index: usize, extension: &str) -> String {
    with_extension(safe_name(dataname, &format!("payload-{index}")), extension)
}

/// Types that people cannot tell by the name get an extension.
fn extension(data: &PayloadData) -> &'static str {
    match data.payload_type() {
        PayloadType::Text => "txt",
        PayloadType::Dictionary | PayloadType::JsonTable => "json",
        PayloadType::Table if data.is_json_rows() => "json",
        PayloadType::Table => "arrows",
        _ => "",
    }
}

pub(crate) fn verification(verification: Verification) -> &'static str {
    match verification {
        Verification::Inline => "inline",
        Verification::Digest => "digest",
        Verification::Length => "length",
        _ => "unverified",
    }
}

pub(crate) fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Snake => "snake",
        _ => "camel",
    }
}

fn head(message: &Message) -> String {
    let mut out = format!("{}\n", bold(&format!("message on {}", visible(message.subject()))));
    fields(message.envelope(), &mut out);
    out
}

/// The fields that are not empty, one a line.
pub(crate) fn fields(envelope: &Envelope, out: &mut String) {
    let with_id = |name: &str, id: &str| match (name, id) {
        ("", id) => id.to_owned(),
        (name, "") => name.to_owned(),
        (name, id) => format!("{name} ({id})"),
    };
    for (label, text) in [
        ("from", with_id(envelope.sender_name(), envelope.sender_id())),
        ("to", with_id(envelope.receiver_name(), envelope.receiver_id())),
        ("purpose", envelope.msg_purpose().to_owned()),
        ("written", envelope.timestamp().to_owned()),
        ("sent to", envelope.send_to().to_owned()),
        ("correlation", envelope.correlation_id().to_owned()),
        ("message id", envelope.msg_id().to_owned()),
        ("reply to", envelope.reply_to().to_owned()),
        ("answers", envelope.reply_to_msg_id().to_owned()),
        ("broker", envelope.broker_url().to_owned()),
    ] {
        if !text.is_empty() {
            line(out, label, &visible(&text));
        }
    }
    if !envelope.metadata().is_empty() {
        line(out, "metadata", &visible(envelope.metadata().as_json()));
    }
}

fn line(out: &mut String, label: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {label:<12} {text}");
}

/// `[0] name  type  direct  5 bytes`.
pub(crate) fn title(index: usize, dataname: &str, type_name: &str, transport: &str) -> String {
    let name = format!("[{index}] {}", visible(dataname));
    format!("  {}  {}  {transport}", bold(&name), visible(type_name))
}

fn for_people(payload: &ReceivedPayload<'_>, arrived: &Result<Arrived, Failure>) -> String {
    let transport = payload.transport().map_or("?", |transport| transport.as_str());
    let mut out = title(payload.index(), payload.dataname(), payload.type_name(), transport);
    match arrived {
        Ok(arrived) => {
            let _ = write!(out, "  {}", bytes(arrived.size));
            if arrived.verification != "inline" {
                let _ = match arrived.verification {
                    "unverified" => write!(out, "  unverified"),
                    by => write!(out, "  verified by {by}"),
                };
            }
            out.push('\n');
            let _ = writeln!(out, "      sha256 {}", arrived.sha256);
            if let Some(announced) = arrived.size_mismatch {
                let _ = writeln!(out, "      the message says {}", bytes(announced));
            }
            for line in arrived.preview.lines() {
                let _ = writeln!(out, "      | {line}");
            }
            if let Some(path) = &arrived.path {
                let _ = writeln!(out, "      saved as {}", visible(path));
            }
        }
        Err(error) => {
            let _ = writeln!(out, "\n      {} {}", alarming("failed:"), chain(error));
        }
    }
    out
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageLine<'a> {
    subject: &'a str,
    dialect: &'static str,
    correlation_id: &'a str,
    msg_id: &'a str,
    timestamp: &'a str,
    send_to: &'a str,
    msg_purpose: &'a str,
    sender_name: &'a str,
    sender_id: &'a str,
    receiver_name: &'a str,
    receiver_id: &'a str,
    reply_to: &'a str,
    reply_to_msg_id: &'a str,
    #[serde(rename = "brokerURL")]
    broker_url: &'a str,
    metadata: Option<&'a RawValue>,
    nats_reply: Option<&'a str>,
    headers: Vec<(String, String)>,
    message_len: usize,
    payloads: Vec<PayloadLine<'a>>,
}

impl<'a> MessageLine<'a> {
    fn new(message: &'a Message, payloads: Vec<PayloadLine<'a>>) -> Self {
        let envelope = message.envelope();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            subject: message.subject(),
            dialect: dialect(envelope.dialect()),
            correlation_id: envelope.correlation_id(),
            msg_id: envelope.msg_id(),
            timestamp: envelope.timestamp(),
            send_to: envelope.send_to(),
            msg_purpose: envelope.msg_purpose(),
            sender_name: envelope.sender_name(),
            sender_id: envelope.sender_id(),
            receiver_name: envelope.receiver_name(),
            receiver_id: envelope.receiver_id(),
            reply_to: envelope.reply_to(),
            reply_to_msg_id: envelope.reply_to_msg_id(),
            broker_url: envelope.broker_url(),
            metadata: raw(envelope.metadata().as_json()),
            nats_reply: message.nats_reply(),
            headers: headers
                .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.to_string())))
                .collect(),
            message_len: envelope.as_bytes().len(),
            payloads,
        }
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct PayloadLine<'a> {
    dataname: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    transport: Option<&'static str>,
    /// What arrived; of a payload that failed, what was announced.
    size: Option<u64>,
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    announced_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Box<RawValue>>,
    /// Of a dictionary, or the rows of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    /// Why there is neither text nor value.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<&'static str>,
    /// Of a table: names and types.
    #[serde(skip_serializing_if = "Option::is_none")]
    columns: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorLine>,
}

impl<'a> PayloadLine<'a> {
    fn new(payload: &ReceivedPayload<'a>, arrived: Result<Arrived, Failure>, left: &mut usize) -> Self {
        let mut line = Self {
            dataname: payload.dataname(),
            type_name: payload.type_name(),
            transport: payload.transport().map(|transport| transport.as_str()),
            size: payload.size(),
            metadata: raw(payload.metadata().as_json()),
            ..Self::default()
        };
        match arrived {
            Ok(arrived) => {
                line.size = Some(arrived.size);
                line.sha256 = Some(arrived.sha256);
                line.verification = Some(arrived.verification);
                line.announced_size = arrived.size_mismatch;
                line.path = arrived.path;
                let shown = arrived.preview.into_json(left);
                (line.text, line.value, line.omitted) = (shown.text, shown.value, shown.omitted);
                (line.columns, line.row_count) = (shown.columns, shown.row_count);
            }
            Err(failure) => line.error = Some(ErrorLine::of_payload(&failure)),
        }
        line
    }
}

/// JSON text as it came: not every number in it can be read, and what cannot is no reason to lose the rest.
fn raw(json: &str) -> Option<&RawValue> {
    // It has been checked by the engine, so it is JSON.
    serde_json::from_str(json).ok()
}

#[derive(Serialize)]
struct BrokenLine {
    error: ErrorLine,
}

#[derive(Serialize)]
struct ErrorLine {
    kind: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

impl ErrorLine {
    fn new(error: &natsbridge::Error) -> Self {
        Self { kind: format!("{:?}", error.kind()), message: chain(error), offset: error.offset() }
    }

    fn of_payload(failure: &Failure) -> Self {
        match failure {
            Failure::Engine { error, .. } => Self::new(error),
            _ => Self { kind: "NotSaved".to_owned(), message: chain(failure), offset: None },
        }
    }
}

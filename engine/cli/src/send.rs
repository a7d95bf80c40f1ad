//! `natsbridge send`.

use std::fmt::Write as _;

use natsbridge::{Bridge, Delivery, PayloadView, Receipt, Transport, timestamp};
use serde::Serialize;

use crate::args::{ConnectionArgs, SendArgs};
use crate::compose::{self, describe};
use crate::connect::connect;
use crate::digest::sha256;
use crate::exit::{Failure, code};
use crate::output::{self, bold, bytes, visible};
use crate::progress::Bar;

pub(crate) async fn run(connection: &ConnectionArgs, args: &SendArgs) -> Result<u8, Failure> {
    let payloads = compose::payloads(&args.message)?;
    let mut builder = Bridge::builder();
    if let Some(store) = compose::upload_store(&args.message, &args.fileserver, &args.upload)? {
        builder = compose::recorded(builder.store(store), &args.upload)?;
    }
    let bridge = connect(connection, builder).await?;
    let (bar, progress) = Bar::sending();
    let message = describe!(bridge.send(&args.message.subject), &args.message, payloads);
    let sent = message.delivery(Delivery::Flushed).progress(progress).await;
    drop(bar);
    let receipt = sent.map_err(compose::send_failure(&args.message, &args.fileserver))?;
    if args.json {
        output::json(&ReceiptLine::new(&args.message.subject, &receipt))?;
    } else {
        output::write(summary(&args.message.subject, &receipt).as_bytes())?;
    }
    Ok(code::OK)
}

fn summary(subject: &str, receipt: &Receipt) -> String {
    let count = receipt.payloads().len();
    let plural = if count == 1 { "" } else { "s" };
    let mut out = format!(
        "{} on {}: {}, {}\n",
        bold(&format!("sent {count} payload{plural}")),
        visible(subject),
        bytes(receipt.message_len() as u64),
        delivery(receipt),
    );
    let envelope = receipt.envelope();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  correlation  {}", visible(envelope.correlation_id()));
    let _ = writeln!(out, "  message id   {}", visible(envelope.msg_id()));
    for payload in receipt.payloads() {
        let (name, type_name) = (visible(&payload.dataname), visible(&payload.type_name));
        let _ = write!(out, "  {name}  {type_name}  {}  {}", payload.transport, bytes(payload.size));
        if let Some(url) = &payload.url {
            let _ = write!(out, "  at {}", url.origin());
        }
        if let Some(expires_at) = payload.expires_at {
            let _ = write!(out, " until {}", timestamp::format(expires_at));
        }
        out.push('\n');
    }
    out
}

fn delivery(receipt: &Receipt) -> &'static str {
    match receipt.delivery() {
        Delivery::Enqueued => "enqueued",
        _ => "flushed",
    }
}

/// The digest of what was sent: a link carries its own.
fn digest(payload: &PayloadView<'_>) -> String {
    match payload.metadata().get("sha256") {
        Some(digest) if payload.transport() == Some(Transport::Link) => digest,
        // What was encoded just now can be decoded.
        _ => payload.decode().map(|data| sha256([data.bytes()])).unwrap_or_default(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptLine<'a> {
    correlation_id: &'a str,
    msg_id: &'a str,
    subject: &'a str,
    delivery: &'static str,
    message_len: usize,
    payloads: Vec<SentLine<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentLine<'a> {
    dataname: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    transport: &'static str,
    size: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl<'a> ReceiptLine<'a> {
    fn new(subject: &'a str, receipt: &'a Receipt) -> Self {
        let sent =
            receipt.payloads().iter().zip(receipt.envelope().payloads()).map(|(sent, payload)| SentLine {
                dataname: &sent.dataname,
                type_name: &sent.type_name,
                transport: sent.transport.as_str(),
                size: sent.size,
                sha256: digest(&payload),
                url: sent.url.as_ref().map(|url| url.as_str()),
                expires_at: sent.expires_at.map(timestamp::format),
            });
        Self {
            correlation_id: receipt.envelope().correlation_id(),
            msg_id: receipt.envelope().msg_id(),
            subject,
            delivery: delivery(receipt),
            message_len: receipt.message_len(),
            payloads: sent.collect(),
        }
    }
}

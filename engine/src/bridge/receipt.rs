//! What a send returns: what went out, and how far it got.

use std::fmt;
use std::sync::OnceLock;
use std::time::SystemTime;

use bytes::Bytes;

use crate::envelope::{Envelope, Transport};
use crate::error::Error;
use crate::link::LinkUrl;

/// How far a message has come when a send returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The NATS client has it in its buffer. It may still be lost, with no error, when the connection breaks or the
    /// server refuses it.
    Enqueued,
    /// The NATS server has processed it: a round trip on the same connection came back, and no refusal with it.
    /// Subscribers get it at most once, as with all of core NATS.
    ///
    /// Costs the round trip, and 6 to 9 ms in which a refusal may still come: it takes another way than the answer. At most
    /// 32 of these wait at a time, so a bridge does some thousands in a second: many messages are faster sent without, and
    /// [`flush`](super::Bridge::flush) at the end.
    ///
    /// Refusals come through the client's event callback. A bridge over a client that was handed over without
    /// [`Events`](super::Events) cannot see them, and calls a message flushed that the server's permissions refused.
    Flushed,
}

/// What was sent, and how far it got.
pub struct Receipt {
    body: Bytes,
    /// Told by the sender where some travelled by link, otherwise read from the message when they are asked for.
    payloads: OnceLock<Vec<SentPayload>>,
    delivery: Delivery,
    envelope: OnceLock<Envelope>,
}

impl Receipt {
    pub(super) fn new(body: Bytes, payloads: Option<Vec<SentPayload>>, delivery: Delivery) -> Self {
        let payloads = payloads.map_or_else(OnceLock::new, OnceLock::from);
        Self { body, payloads, delivery, envelope: OnceLock::new() }
    }

    /// The message as it went out, with all its fields and payloads.
    ///
    /// # Cost
    /// Reads the message the first time it is called.
    pub fn envelope(&self) -> &Envelope {
        self.envelope.get_or_init(|| {
            let limits = crate::Limits::none();
            // What this crate has just written it reads: a round trip that its tests hold it to.
            Envelope::decode_with(self.body.clone(), &limits)
                .unwrap_or_else(|error| unreachable_envelope(&error))
        })
    }

    /// The payloads in order: how each travelled.
    ///
    /// # Cost
    /// As [`envelope`](Self::envelope).
    pub fn payloads(&self) -> &[SentPayload] {
        self.payloads.get_or_init(|| {
            let sent = |payload: crate::PayloadView<'_>| SentPayload {
                dataname: payload.dataname().to_owned(),
                type_name: payload.type_name().to_owned(),
                transport: Transport::Direct,
                size: payload.size().unwrap_or_default(),
                url: None,
                expires_at: None,
            };
            self.envelope().payloads().map(sent).collect()
        })
    }

    /// The level that was reached.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The bytes of the published message, without headers.
    pub fn message_len(&self) -> usize {
        self.body.len()
    }
}

/// An empty envelope, after telling whoever reads the logs.
fn unreachable_envelope(error: &Error) -> Envelope {
    tracing::error!(%error, "a message of our own cannot be read");
    Envelope::empty()
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("delivery", &self.delivery)
            .field("message_len", &self.body.len())
            .field("payloads", &self.payloads())
            .finish_non_exhaustive()
    }
}

/// How one payload was sent. `Debug` hides the link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SentPayload {
    /// Its name.
    pub dataname: String,
    /// Its type's name, as it was written.
    pub type_name: String,
    /// How it travelled.
    pub transport: Transport,
    /// Its raw bytes.
    pub size: u64,
    /// Where it was uploaded to; whoever knows this has the file.
    pub url: Option<LinkUrl>,
    /// When the file server will delete it, if it does.
    pub expires_at: Option<SystemTime>,
}

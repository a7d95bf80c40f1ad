//! A sender of many messages on one subject: what they have in common is prepared once, and buffers are used again.

use std::fmt;
use std::time::SystemTime;

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use serde::Serialize;
use smallvec::SmallVec;
use tracing::Instrument as _;

use super::draft::Draft;
use super::ids::{Id, Ids};
use super::log_limit::brief;
use super::outgoing::{INLINE_PAYLOADS, MAX_ESCAPED, Outgoing, add_max_lens, max_len, message_fields};
use super::receipt::{Delivery, Receipt};
use super::send::{headers, mark_published, publish_error, send};
use super::{Bridge, sender_limits, subject};
use crate::buffers::OwnBuffers;
use crate::envelope::{Dialect, PayloadFields, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::{Payload, PayloadRef, dictionary};
use crate::timestamp;

/// What a [`Publisher`]'s messages have in common; [`build`](Self::build) makes the publisher.
#[must_use = "nothing happens before `build`"]
pub struct PublisherBuilder {
    bridge: Bridge,
    pub(super) draft: Draft,
    buffer_bytes: usize,
}

/// What one publisher has with the client at most, unless it is told otherwise.
const BUFFER_BYTES: usize = 1 << 20;

impl Bridge {
    /// Starts a publisher, for many messages on one subject; see [`Publisher`].
    pub fn publisher(&self, subject: impl Into<String>) -> PublisherBuilder {
        PublisherBuilder {
            bridge: self.clone(),
            draft: Draft::new(subject.into()),
            buffer_bytes: BUFFER_BYTES,
        }
    }
}

impl PublisherBuilder {
    /// How many bytes of messages may be with the NATS client at once, waiting for its socket; at least one message. Default
    /// 1 MiB. More lets a producer run further ahead of its connection, and costs processor time where it no longer fits
    /// into the cache next to the core.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// Checks what was given, and prepares what does not change.
    ///
    /// # Errors
    /// [`InvalidSubject`](crate::ErrorKind::InvalidSubject), [`InvalidHeader`](crate::ErrorKind::InvalidHeader),
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for metadata that is none.
    pub fn build(self) -> Result<Publisher> {
        let Self { bridge, mut draft, buffer_bytes } = self;
        if let Some(error) = draft.error.take() {
            return Err(error);
        }
        subject::check_publish(&draft.subject)?;
        if !draft.reply_to.is_empty() {
            subject::check_publish(&draft.reply_to)?;
        }
        let inner = &bridge.inner;
        let headers = headers(inner, &draft)?;
        let (dialect, threshold) = Outgoing::rules(inner, &draft);
        let ids = Ids::new();
        let mut place = [0; timestamp::LEN];
        let time = timestamp::format_into(SystemTime::UNIX_EPOCH, &mut place);
        let id = Id::new();
        // Without the correlation id, which may differ from message to message.
        let fields = message_fields(inner, &draft, "", id.as_str(), time);
        let base_len = max_len(&fields).saturating_add(subject::headers_len(&headers));
        let subject = Subject::from(draft.subject.as_str());
        let buffers = OwnBuffers::new(buffer_bytes);
        let scratch = Vec::new();
        Ok(Publisher {
            bridge,
            draft,
            subject,
            headers,
            dialect,
            threshold,
            base_len,
            ids,
            buffers,
            buffer_bytes,
            scratch,
        })
    }
}

impl fmt::Debug for PublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherBuilder").field("subject", &self.draft.subject).finish_non_exhaustive()
    }
}

/// Sends many messages on one subject, each with its own ids, time and payloads.
///
/// It follows the rules of [`Bridge::send`]: the same sizes, the same limits, the same choice between direct and link.
/// It differs in what it costs. The fields that do not change, the subject and the headers are checked once. A message is
/// encoded from the caller's bytes into a buffer that an earlier message has left, so that sending direct payloads
/// allocates nothing once the first messages are through.
///
/// A publish returns when the NATS client has the message: [`Delivery::Enqueued`]. [`Bridge::flush`] confirms all that
/// were published before, with one round trip.
///
/// A publisher belongs to one task. A clone has buffers of its own and shares the connection.
///
/// # Producing fast
///
/// * **One publisher for each subject and task**, kept for the life of the program.
/// * **Borrow.** [`PayloadRef`] takes bytes from wherever they are, and
///   [`publish_dictionary`](Self::publish_dictionary) writes JSON into a buffer that it uses again.
/// * **Await each publish.** It waits for nothing but room in the client's queue, so a loop of them is as fast as many
///   in flight, and the messages stay in order. The client takes from its queue whatever is there, so messages that
///   are published without a pause between them share its system calls.
/// * **Run in a task**, not in the future that `block_on` or `#[tokio::main]` drives: that one runs on a thread of its
///   own, and waking it costs more than a small message does. The same goes for consumers.
/// * **One connection.** A second one for the same producer is worth its while only where the first one's task, which
///   formats and writes for everybody on it, has a core to itself and that core is busy throughout.
/// * **Flush at the end of a batch** with [`Bridge::flush`], not after each message.
/// * **Leave [`buffer_bytes`](PublisherBuilder::buffer_bytes) as it is** unless the producer comes in bursts that it
///   must not wait for.
/// * **Links are uploaded one message after the other.** Where most messages carry some, run several sends at once with
///   [`Bridge::send`].
///
/// # Examples
/// ```no_run
/// use natsbridge::{Bridge, PayloadRef};
///
/// # async fn run(bridge: Bridge) -> Result<(), natsbridge::Error> {
/// let mut publisher = bridge.publisher("telemetry.samples").purpose("updateStatus").build()?;
/// let mut samples = [0u8; 64];
/// for n in 0..1_000_000u32 {
///     samples[..4].copy_from_slice(&n.to_le_bytes());
///     publisher.publish(&[PayloadRef::binary("samples", &samples)]).await?;
/// }
/// bridge.flush().await?; // one round trip for all of them
/// # Ok(())
/// # }
/// ```
pub struct Publisher {
    bridge: Bridge,
    /// The fields; its payloads are empty.
    draft: Draft,
    subject: Subject,
    headers: HeaderMap,
    dialect: Dialect,
    threshold: u64,
    /// The most that a message can be long without its payloads and its correlation id, headers included.
    base_len: usize,
    ids: Ids,
    buffers: OwnBuffers,
    buffer_bytes: usize,
    /// For JSON.
    scratch: Vec<u8>,
}

/// What was published; how it can be named later.
#[derive(Debug)]
#[non_exhaustive]
pub struct Published {
    correlation_id: Id,
    msg_id: Id,
    message_len: usize,
    receipt: Option<Box<Receipt>>,
}

impl Published {
    /// The message's `correlationId`.
    pub fn correlation_id(&self) -> &str {
        self.correlation_id.as_str()
    }

    /// The message's `msgId`.
    pub fn msg_id(&self) -> &str {
        self.msg_id.as_str()
    }

    /// The bytes of the published message, without headers.
    pub fn message_len(&self) -> usize {
        self.message_len
    }

    /// How each payload travelled, where some had to travel by link. `None` where all are in the message itself.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_deref()
    }
}

impl Publisher {
    /// Publishes one message with a new `msgId`, and a new `correlationId` unless the builder was given one.
    ///
    /// Where [`buffer_bytes`](PublisherBuilder::buffer_bytes) are all with the NATS client, it first waits until the
    /// client has written them to its socket, so a producer that is faster than its connection is held back.
    ///
    /// # Errors
    /// As [`SendMessage`](super::SendMessage) at [`Delivery::Enqueued`].
    ///
    /// # Cost
    /// One pass over the payloads' bytes. No allocation for up to 8 direct payloads once there are buffers, but for a small
    /// one of the client's where this has to wait. Payloads that travel by link are copied once and uploaded, as with
    /// [`Bridge::send`].
    pub async fn publish(&mut self, payloads: &[PayloadRef<'_>]) -> Result<Published> {
        let correlation_id = match &self.draft.correlation_id {
            Some(given) => given.clone(),
            None => self.ids.next(),
        };
        self.publish_as(correlation_id, payloads).await
    }

    /// The same as part of an exchange that has an id already.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_correlated(
        &mut self,
        correlation_id: impl Into<String>,
        payloads: &[PayloadRef<'_>],
    ) -> Result<Published> {
        self.publish_as(Id::Given(correlation_id.into()), payloads).await
    }

    /// Publishes one message with one dictionary, which is written as JSON into a buffer that is used again.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`InvalidInput`](crate::ErrorKind::InvalidInput) for a value that cannot be
    /// written as JSON or nests deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    pub async fn publish_dictionary(
        &mut self,
        dataname: &str,
        value: &(impl Serialize + ?Sized + Sync),
    ) -> Result<Published> {
        let mut json = std::mem::take(&mut self.scratch);
        let written = dictionary::write_into(&value, &mut json);
        let published = match written {
            Ok(()) => self.publish(&[PayloadRef::written_dictionary(dataname, &json)]).await,
            Err(error) => Err(error.in_payload(0)),
        };
        self.scratch = json;
        published
    }

    /// The bridge that it publishes through.
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    async fn publish_as(&mut self, correlation_id: Id, payloads: &[PayloadRef<'_>]) -> Result<Published> {
        let span = tracing::info_span!(
            "publish",
            correlation_id = brief(correlation_id.as_str()),
            subject = self.subject.as_str()
        );
        if span.is_none() {
            return self.publish_now(correlation_id, payloads).await;
        }
        self.publish_now(correlation_id, payloads).instrument(span).await
    }

    async fn publish_now(&mut self, correlation_id: Id, payloads: &[PayloadRef<'_>]) -> Result<Published> {
        let msg_id = self.ids.next();
        let Some(max_len) = self.max_len(&correlation_id, payloads) else {
            return self.send(correlation_id, msg_id, payloads).await;
        };
        if !self.buffers.has_room(max_len) {
            self.bridge.inner.client.flush().await.map_err(|error| {
                Error::new(ErrorKind::Disconnected, "the NATS client has stopped").with_source(error)
            })?;
        }
        let body = self.encode(&correlation_id, &msg_id, max_len, payloads);
        let message_len = body.len();
        mark_published(&self.bridge.inner);
        let (client, subject) = (&self.bridge.inner.client, self.subject.clone());
        let published = if self.headers.is_empty() {
            client.publish(subject, body).await
        } else {
            client.publish_with_headers(subject, self.headers.clone(), body).await
        };
        published.map_err(publish_error)?;
        Ok(Published { correlation_id, msg_id, message_len, receipt: None })
    }

    /// The message with all payloads in it.
    fn encode(
        &mut self,
        correlation_id: &Id,
        msg_id: &Id,
        max_len: usize,
        payloads: &[PayloadRef<'_>],
    ) -> Bytes {
        let ids: SmallVec<[Id; INLINE_PAYLOADS]> = payloads.iter().map(|_| self.ids.next()).collect();
        let entries: SmallVec<[PayloadFields<'_>; INLINE_PAYLOADS]> = payloads
            .iter()
            .zip(&ids)
            .map(|(payload, id)| {
                let mut fields = payload.fields();
                fields.id = id.as_str();
                fields
            })
            .collect();
        let mut place = [0; timestamp::LEN];
        let timestamp = timestamp::format_into(SystemTime::now(), &mut place);
        let (correlation_id, msg_id) = (correlation_id.as_str(), msg_id.as_str());
        let fields = message_fields(&self.bridge.inner, &self.draft, correlation_id, msg_id, timestamp);
        self.buffers.fill(max_len, |out| encode(self.dialect, &fields, &entries, out))
    }

    /// An upper bound of the message's length, if every payload is below the threshold and the message fits at that
    /// length. Where it might not, the planner has the last word.
    fn max_len(&self, correlation_id: &Id, payloads: &[PayloadRef<'_>]) -> Option<usize> {
        let id_len = match correlation_id {
            Id::Made(text) => text.len(),
            Id::Given(text) => text.len().checked_mul(MAX_ESCAPED)?,
        };
        let entries = payloads.iter().map(|payload| (payload.planned_len(), payload.fields()));
        let len = add_max_lens(self.base_len.checked_add(id_len)?, self.threshold, entries)?;
        if len > self.bridge.inner.limits.shortest()
            || payloads.len() > self.bridge.inner.limits.payload_count
        {
            // A shorter message has nothing in it that is too long; who sends one of these the ordinary way is told what.
            let fields = message_fields(&self.bridge.inner, &self.draft, correlation_id.as_str(), "", "");
            let entries = payloads.iter().map(PayloadRef::fields);
            sender_limits::check(&fields, entries, &self.bridge.inner.limits).ok()?;
        }
        (len <= self.bridge.max_payload().unwrap_or(usize::MAX)).then_some(len)
    }

    /// The ordinary way, with everything that the planner can do.
    async fn send(&self, correlation_id: Id, msg_id: Id, payloads: &[PayloadRef<'_>]) -> Result<Published> {
        if let Some(index) = payloads.iter().position(PayloadRef::is_elsewhere) {
            let what = "a publisher takes bytes in memory; send a payload from a source with Bridge::send";
            return Err(Error::new(ErrorKind::Misuse, what).in_payload(index));
        }
        let mut draft = Box::new(self.draft.fields());
        draft.payloads = payloads.iter().map(Payload::copy_of).collect();
        draft.correlation_id = Some(correlation_id.clone());
        draft.msg_id = Some(msg_id.clone());
        // Boxed: few messages come this way, and every future would have to have room for it.
        let receipt = Box::pin(send(&self.bridge.inner, draft, Delivery::Enqueued)).await?;
        let message_len = receipt.message_len();
        Ok(Published { correlation_id, msg_id, message_len, receipt: Some(Box::new(receipt)) })
    }
}

impl Clone for Publisher {
    /// A publisher of the same messages with buffers of its own.
    fn clone(&self) -> Self {
        Self {
            bridge: self.bridge.clone(),
            draft: self.draft.fields(),
            subject: self.subject.clone(),
            headers: self.headers.clone(),
            dialect: self.dialect,
            threshold: self.threshold,
            base_len: self.base_len,
            ids: Ids::new(),
            buffers: OwnBuffers::new(self.buffer_bytes),
            buffer_bytes: self.buffer_bytes,
            scratch: Vec::new(),
        }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("subject", &self.subject.as_str())
            .field("dialect", &self.dialect)
            .field("buffers", &self.buffers)
            .finish_non_exhaustive()
    }
}

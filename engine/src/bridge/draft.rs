//! A message as far as the caller has described it, and the builder methods that describe it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use tokio::io::AsyncRead;

use super::ids::Id;
use super::publisher::PublisherBuilder;
use super::receipt::Delivery;
use super::request::RequestMessage;
use super::send::SendMessage;
use crate::envelope::{Dialect, Metadata};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Progress, Source};
use crate::payload::Payload;

/// The message as far as the caller has described it.
pub(super) struct Draft {
    pub(super) subject: String,
    /// The NATS reply subject to publish with.
    pub(super) nats_reply: Option<String>,
    pub(super) payloads: Vec<Payload>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) dialect: Option<Dialect>,
    pub(super) threshold: Option<u64>,
    pub(super) delivery: Option<Delivery>,
    pub(super) correlation_id: Option<Id>,
    pub(super) msg_id: Option<Id>,
    pub(super) send_to: Option<String>,
    pub(super) purpose: Option<String>,
    pub(super) sender_name: Option<String>,
    pub(super) sender_id: Option<String>,
    pub(super) receiver_name: String,
    pub(super) receiver_id: String,
    pub(super) reply_to: String,
    pub(super) reply_to_msg_id: String,
    pub(super) metadata: Option<Metadata>,
    /// The most time until the message is handed to the NATS client.
    pub(super) deadline: Option<Duration>,
    pub(super) progress: Option<Progress>,
    /// The first mistake.
    pub(super) error: Option<Error>,
}

impl Draft {
    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            nats_reply: None,
            payloads: Vec::new(),
            headers: Vec::new(),
            dialect: None,
            threshold: None,
            delivery: None,
            correlation_id: None,
            msg_id: None,
            send_to: None,
            purpose: None,
            sender_name: None,
            sender_id: None,
            receiver_name: String::new(),
            receiver_id: String::new(),
            reply_to: String::new(),
            reply_to_msg_id: String::new(),
            metadata: None,
            deadline: None,
            progress: None,
            error: None,
        }
    }

    /// The same fields, without payloads and mistakes.
    pub(super) fn fields(&self) -> Self {
        Self {
            subject: self.subject.clone(),
            nats_reply: self.nats_reply.clone(),
            payloads: Vec::new(),
            headers: self.headers.clone(),
            dialect: self.dialect,
            threshold: self.threshold,
            delivery: self.delivery,
            correlation_id: self.correlation_id.clone(),
            msg_id: self.msg_id.clone(),
            send_to: self.send_to.clone(),
            purpose: self.purpose.clone(),
            sender_name: self.sender_name.clone(),
            sender_id: self.sender_id.clone(),
            receiver_name: self.receiver_name.clone(),
            receiver_id: self.receiver_id.clone(),
            reply_to: self.reply_to.clone(),
            reply_to_msg_id: self.reply_to_msg_id.clone(),
            metadata: self.metadata.clone(),
            deadline: None,
            progress: None,
            error: None,
        }
    }

    fn add(&mut self, payload: Result<Payload>) {
        match payload {
            Ok(payload) => self.payloads.push(payload),
            Err(error) => {
                let index = self.payloads.len();
                self.error.get_or_insert_with(|| error.in_payload(index));
            }
        }
    }

    fn note<T>(&mut self, result: Result<T>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

/// The methods that describe one message, for every builder that has a draft.
macro_rules! message_builder {
    ($builder:ty) => {
        impl $builder {
            /// Adds a payload that is ready.
            pub fn payload(mut self, payload: Payload) -> Self {
                self.draft.add(Ok(payload));
                self
            }

            /// Adds several payloads that are ready.
            pub fn payloads(mut self, payloads: impl IntoIterator<Item = Payload>) -> Self {
                payloads.into_iter().for_each(|payload| self.draft.add(Ok(payload)));
                self
            }

            /// Adds text.
            pub fn text(self, dataname: impl Into<String>, text: impl Into<String>) -> Self {
                self.payload(Payload::text(dataname, text))
            }

            /// Adds a value as JSON; see [`Payload::dictionary`].
            pub fn dictionary(
                mut self,
                dataname: impl Into<String>,
                value: &(impl Serialize + ?Sized),
            ) -> Self {
                self.draft.add(Payload::dictionary(dataname, value));
                self
            }

            /// Adds rows as JSON; see [`Payload::json_table`].
            pub fn json_table(
                mut self,
                dataname: impl Into<String>,
                rows: &(impl Serialize + ?Sized),
            ) -> Self {
                self.draft.add(Payload::json_table(dataname, rows));
                self
            }

            /// Adds record batches as an Arrow table; see [`Payload::table`].
            #[cfg(feature = "table")]
            pub fn table(
                mut self,
                dataname: impl Into<String>,
                batches: &[arrow_array::RecordBatch],
            ) -> Self {
                self.draft.add(Payload::table(dataname, batches));
                self
            }

            /// Adds an image file's bytes.
            pub fn image(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::image(dataname, bytes))
            }

            /// Adds an audio file's bytes.
            pub fn audio(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::audio(dataname, bytes))
            }

            /// Adds a video file's bytes.
            pub fn video(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::video(dataname, bytes))
            }

            /// Adds any bytes.
            pub fn binary(self, dataname: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
                self.payload(Payload::binary(dataname, bytes))
            }

            /// Adds bytes under any type's name; see [`Payload::other`].
            pub fn other(
                mut self,
                type_name: impl Into<std::borrow::Cow<'static, str>>,
                dataname: impl Into<String>,
                bytes: impl Into<Bytes>,
            ) -> Self {
                self.draft.add(Payload::other(type_name, dataname, bytes));
                self
            }

            /// Adds a file's bytes as `binary`; see [`Source::file`]. Nothing is read before the message is awaited, and of
            /// a large file never more than 2 MiB at once.
            pub fn file(self, dataname: impl Into<String>, path: impl Into<std::path::PathBuf>) -> Self {
                self.source("binary", dataname, Source::file(path))
            }

            /// Adds what a reader has as `binary`: exactly `len` bytes, or all that come; see [`Source::reader`].
            ///
            /// Without a length it travels inside the message if it ends below the threshold, and by link if it does not;
            /// nothing is read twice.
            pub fn reader(
                self,
                dataname: impl Into<String>,
                reader: impl AsyncRead + Send + 'static,
                len: impl Into<Option<u64>>,
            ) -> Self {
                self.source("binary", dataname, Source::reader(reader, len))
            }

            /// Adds the pieces of a stream as `binary`; see [`Source::stream`]. With a length, give it to
            /// [`source`](Self::source).
            pub fn stream<S, B, E>(self, dataname: impl Into<String>, stream: S) -> Self
            where
                S: Stream<Item = std::result::Result<B, E>> + Send + 'static,
                B: Into<Bytes>,
                E: Into<Box<dyn std::error::Error + Send + Sync>>,
            {
                self.source("binary", dataname, Source::stream(stream, None))
            }

            /// Adds the bytes of any source under any type's name; see [`Payload::from_source`].
            pub fn source(
                mut self,
                type_name: impl Into<std::borrow::Cow<'static, str>>,
                dataname: impl Into<String>,
                source: Source,
            ) -> Self {
                self.draft.add(Payload::from_source(type_name, dataname, source));
                self
            }

            /// The most time until the message is handed to the NATS client: reading sources, waiting for the bridge's
            /// budget, uploading and retries. When it is over, what was uploaded is deleted and the send fails with
            /// [`TimedOut`](ErrorKind::TimedOut). Default: none, beside the
            /// [`upload_timeout`](crate::bridge::BridgeBuilder::upload_timeout) of the bridge.
            pub fn deadline(mut self, limit: Duration) -> Self {
                self.draft.deadline = Some(limit);
                self
            }

            /// Where to report how far the uploads of this message have come.
            pub fn progress(mut self, progress: Progress) -> Self {
                self.draft.progress = Some(progress);
                self
            }

            /// Adds a key to the metadata of the payload that was added last.
            pub fn payload_metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
                let result = match self.draft.payloads.pop() {
                    Some(payload) => {
                        payload.with_metadata(key, value).map(|payload| self.draft.payloads.push(payload))
                    }
                    None => Err(Error::new(ErrorKind::Misuse, "payload_metadata needs a payload before it")),
                };
                self.draft.note(result);
                self
            }

            /// Sets `msgId`. Default: a new UUID.
            pub fn msg_id(mut self, id: impl Into<String>) -> Self {
                self.draft.msg_id = Some(Id::Given(id.into()));
                self
            }
        }

        impl fmt::Debug for $builder {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($builder))
                    .field("subject", &self.draft.subject)
                    .field("payloads", &self.draft.payloads)
                    .finish_non_exhaustive()
            }
        }
    };
}

/// The methods that describe what messages of one sender have in common, for every builder that has a draft.
macro_rules! field_builder {
    ($builder:ty) => {
        impl $builder {
            /// Adds a key to the message's metadata.
            pub fn metadata(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
                let metadata = self.draft.metadata.get_or_insert_default();
                let result = metadata.insert(key, value).map(|_| ());
                self.draft.note(result);
                self
            }

            /// Sets `correlationId`. Default: a new UUID.
            pub fn correlation_id(mut self, id: impl Into<String>) -> Self {
                self.draft.correlation_id = Some(Id::Given(id.into()));
                self
            }

            /// Sets `sendTo`. Default: the subject.
            pub fn send_to(mut self, subject: impl Into<String>) -> Self {
                self.draft.send_to = Some(subject.into());
                self
            }

            /// Sets `msgPurpose`. Default `chat`; `request` for a request, `response` for a reply.
            pub fn purpose(mut self, purpose: impl Into<String>) -> Self {
                self.draft.purpose = Some(purpose.into());
                self
            }

            /// Sets `senderName`. Default: the bridge's.
            pub fn sender_name(mut self, name: impl Into<String>) -> Self {
                self.draft.sender_name = Some(name.into());
                self
            }

            /// Sets `senderId`. Default: the bridge's.
            pub fn sender_id(mut self, id: impl Into<String>) -> Self {
                self.draft.sender_id = Some(id.into());
                self
            }

            /// Sets `receiverName`.
            pub fn receiver(mut self, name: impl Into<String>) -> Self {
                self.draft.receiver_name = name.into();
                self
            }

            /// Sets `receiverId`.
            pub fn receiver_id(mut self, id: impl Into<String>) -> Self {
                self.draft.receiver_id = id.into();
                self
            }

            /// Sets `replyTo`. A request listens there for its reply, instead of on an inbox of its own.
            pub fn reply_to(mut self, subject: impl Into<String>) -> Self {
                self.draft.reply_to = subject.into();
                self
            }

            /// Sets `replyToMsgId`.
            pub fn reply_to_msg_id(mut self, id: impl Into<String>) -> Self {
                self.draft.reply_to_msg_id = id.into();
                self
            }

            /// Adds a NATS header. Other ports ignore headers.
            pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.draft.headers.push((name.into(), value.into()));
                self
            }

            /// From how many raw bytes on a payload travels by link. Default: the bridge's.
            pub fn threshold(mut self, bytes: u64) -> Self {
                self.draft.threshold = Some(bytes);
                self
            }

            /// Which spelling of the keys to write. Default: the bridge's; a reply's is that of the request.
            pub fn dialect(mut self, dialect: Dialect) -> Self {
                self.draft.dialect = Some(dialect);
                self
            }
        }
    };
}

message_builder!(SendMessage);
message_builder!(RequestMessage);
field_builder!(SendMessage);
field_builder!(RequestMessage);
field_builder!(PublisherBuilder);

//! A message on its way out: what is planned is what is written.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::SystemTime;

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::draft::Draft;
use super::ids::Id;
use super::receipt::SentPayload;
use super::uploads::link_metadata;
use super::{Inner, sender_limits, subject};
use crate::base64;
use crate::envelope::{
    Data, Dialect, MessageFields, Metadata, PayloadFields, Transport, encode, encoded_len, payload_entry_len,
};
use crate::error::{Error, ErrorKind, Result};
use crate::link::LinkStore;
use crate::link::upload::Stored;
use crate::payload::Payload;
use crate::plan::{PlanItem, PlanLimits, plan};
use crate::timestamp;

/// From how many bytes on a message is written into a buffer that is used again, which it then has for itself.
pub(super) const POOLED_LEN: usize = 16 << 10;

/// Payloads of one message that are handled without an allocation.
pub(super) const INLINE_PAYLOADS: usize = 8;

/// A message whose ids and time are fixed, so that planning and writing see the same.
pub(super) struct Outgoing<'a> {
    dialect: Dialect,
    threshold: u64,
    inner: &'a Inner,
    pub(super) draft: &'a Draft,
    correlation_id: &'a str,
    msg_id: Id,
    timestamp: [u8; timestamp::LEN],
    pub(super) payloads: &'a [Payload],
    /// One id for each payload.
    ids: SmallVec<[Id; INLINE_PAYLOADS]>,
}

/// The fields of a message: the draft's, and the bridge's where the draft is silent.
pub(super) fn message_fields<'a>(
    inner: &'a Inner,
    draft: &'a Draft,
    correlation_id: &'a str,
    msg_id: &'a str,
    timestamp: &'a str,
) -> MessageFields<'a> {
    MessageFields {
        correlation_id,
        msg_id,
        timestamp,
        send_to: draft.send_to.as_deref().unwrap_or(&draft.subject),
        msg_purpose: draft.purpose.as_deref().unwrap_or("chat"),
        sender_name: draft.sender_name.as_deref().unwrap_or(&inner.sender_name),
        sender_id: draft.sender_id.as_deref().unwrap_or(&inner.sender_id),
        receiver_name: &draft.receiver_name,
        receiver_id: &draft.receiver_id,
        reply_to: &draft.reply_to,
        reply_to_msg_id: &draft.reply_to_msg_id,
        broker_url: &inner.broker_url,
        metadata: draft.metadata.as_ref(),
    }
}

/// What a byte of a JSON string takes at most: `\u00XX`.
pub(super) const MAX_ESCAPED: usize = 6;

/// An upper bound of the length of a message without payloads and headers, found without reading its strings.
pub(super) fn max_len(fields: &MessageFields<'_>) -> usize {
    let strings = fields.strings();
    let strings: usize = strings.iter().map(|text| text.len()).sum();
    let metadata = fields.metadata.map_or(0, Metadata::encoded_len);
    MESSAGE_FRAME.saturating_add(strings.saturating_mul(MAX_ESCAPED)).saturating_add(metadata)
}

/// Adds the same for payloads that travel inside the message. `None` where one of them reaches the threshold; where there
/// is none, and the bound fits, the planner has nothing to decide.
pub(super) fn add_max_lens<'a>(
    mut len: usize,
    threshold: u64,
    entries: impl Iterator<Item = (u64, PayloadFields<'a>)>,
) -> Option<usize> {
    for (size, entry) in entries {
        if size >= threshold {
            return None;
        }
        let strings = entry.id.len() + entry.dataname.len() + entry.type_name.len();
        let metadata = entry.metadata.map_or(0, Metadata::encoded_len);
        let data = base64::encoded_len(usize::try_from(size).ok()?);
        len = [PAYLOAD_FRAME, strings.checked_mul(MAX_ESCAPED)?, metadata, data]
            .into_iter()
            .try_fold(len, usize::checked_add)?;
    }
    Some(len)
}

/// The raw bytes of a payload, or more than any where nobody knows.
fn planned_len(payload: &Payload) -> u64 {
    payload.known_len().unwrap_or(u64::MAX)
}

/// More than a message has beside its values, and a payload's object beside its own: keys, quotes, braces and commas, the
/// payload's id and the digits of its size, and the difference between `table` and `arrowtable`.
const MESSAGE_FRAME: usize = 512;
const PAYLOAD_FRAME: usize = 256;

impl<'a> Outgoing<'a> {
    pub(super) fn new(inner: &'a Inner, draft: &'a Draft) -> Self {
        let (dialect, threshold) = Self::rules(inner, draft);
        let mut timestamp = [0; timestamp::LEN];
        timestamp::format_into(SystemTime::now(), &mut timestamp);
        Self {
            dialect,
            threshold,
            inner,
            draft,
            correlation_id: draft.correlation_id.as_ref().map(Id::as_str).unwrap_or_default(),
            msg_id: draft.msg_id.clone().unwrap_or_else(Id::new),
            timestamp,
            payloads: &draft.payloads,
            ids: draft.payloads.iter().map(|_| Id::new()).collect(),
        }
    }

    /// The dialect and the threshold that a draft is written with.
    pub(super) fn rules(inner: &Inner, draft: &Draft) -> (Dialect, u64) {
        let dialect = draft.dialect.unwrap_or(inner.dialect);
        let threshold = draft.threshold.or(inner.threshold);
        (dialect, threshold.unwrap_or_else(|| dialect.default_threshold()))
    }

    /// A number that no two messages have in common, as far as their ids have not.
    pub(super) fn seed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.msg_id.as_str().hash(&mut hasher);
        hasher.finish()
    }

    fn fields(&self) -> MessageFields<'_> {
        // What was written is ASCII.
        let timestamp = std::str::from_utf8(&self.timestamp).unwrap_or_default();
        message_fields(self.inner, self.draft, self.correlation_id, self.msg_id.as_str(), timestamp)
    }

    fn entry<'p>(
        &'p self,
        index: usize,
        data: Data<'p>,
        metadata: Option<&'p Metadata>,
    ) -> PayloadFields<'p> {
        let payload = &self.payloads[index];
        let mut fields = PayloadFields::new(payload.dataname(), payload.type_name(), data);
        fields.id = self.ids[index].as_str();
        fields.metadata = metadata;
        fields
    }

    /// Refuses what a receiver with the bridge's own limits would refuse.
    pub(super) fn check_limits(&self, inner: &Inner) -> Result<()> {
        let entries = (0..self.payloads.len()).map(|index| {
            let payload = &self.payloads[index];
            self.entry(index, payload.direct(), payload.metadata())
        });
        sender_limits::check(&self.fields(), entries, &inner.limits)
    }

    /// The transport of every payload; an empty list where all are direct.
    pub(super) fn plan(&self, inner: &Inner, headers: &HeaderMap) -> Result<Vec<Transport>> {
        let max_payload = Some(inner.client.max_payload()).filter(|&bytes| bytes > 0);
        let entries = self
            .payloads
            .iter()
            .map(|payload| (planned_len(payload), self.entry(0, payload.direct(), payload.metadata())));
        let longest = add_max_lens(max_len(&self.fields()), self.threshold, entries);
        let fits = |len: usize| max_payload.is_none_or(|max| len + subject::headers_len(headers) <= max);
        if longest.is_some_and(fits) {
            return Ok(Vec::new());
        }
        let items: SmallVec<[PlanItem; INLINE_PAYLOADS]> = self
            .payloads
            .iter()
            .enumerate()
            .map(|(index, payload)| {
                let direct = self.entry(index, payload.direct(), payload.metadata());
                let direct_len = match payload.source() {
                    None => payload_entry_len(self.dialect, &direct),
                    Some(source) => self.direct_len_of(&direct, source.known_len()),
                };
                let link_len = match &inner.store {
                    Some(store) => self.max_link_len(index, payload, &**store),
                    None => usize::MAX,
                };
                PlanItem::new(planned_len(payload), direct_len, link_len)
            })
            .collect();
        let base_len = encoded_len(self.dialect, &self.fields(), &[]) + subject::headers_len(headers);
        plan(&items, &PlanLimits::new(self.threshold, max_payload, base_len, inner.store.is_some()))
    }

    /// How long a payload's entry would be with the bytes of a source in it.
    fn direct_len_of(&self, empty: &PayloadFields<'_>, len: Option<u64>) -> usize {
        let Some(len) = len.and_then(|len| usize::try_from(len).ok()) else { return usize::MAX };
        let entry = payload_entry_len(self.dialect, empty);
        let digits = len.checked_ilog10().unwrap_or_default() as usize; // one is counted already
        let text = len.div_ceil(3).saturating_mul(4);
        entry.saturating_add(digits).saturating_add(text)
    }

    /// From how many bytes on a payload surely travels by link, were it alone in the message: the threshold, or one byte
    /// more than can fit. An upper bound: up to it the planner decides.
    pub(super) fn spill_len(&self, index: usize, headers: &HeaderMap) -> u64 {
        let max_payload = self.inner.client.max_payload();
        if max_payload == 0 {
            return self.threshold;
        }
        let payload = &self.payloads[index];
        let entry = self.entry(index, Data::Bytes(&[]), payload.metadata());
        let frame = encoded_len(self.dialect, &self.fields(), &[])
            + subject::headers_len(headers)
            + payload_entry_len(self.dialect, &entry);
        let room = max_payload.saturating_sub(frame) as u64;
        self.threshold.min(room / 4 * 3 + 4)
    }

    /// How long the payload's entry is at most once it has been uploaded.
    fn max_link_len(&self, index: usize, payload: &Payload, store: &dyn LinkStore) -> usize {
        let metadata = link_metadata(payload, &[0; 32], Some(SystemTime::UNIX_EPOCH));
        let link = Data::Link { url: "", size: planned_len(payload) };
        let entry = self.entry(index, link, Some(&metadata));
        payload_entry_len(self.dialect, &entry).saturating_add(store.max_url_len(payload.dataname()))
    }

    /// The message, and how each payload travels where some travel by link. `uploads` has an element for each payload, or
    /// none at all.
    pub(super) fn encode(&self, uploads: &[Option<Stored>]) -> (Bytes, Option<Vec<SentPayload>>) {
        let stored = |index: usize| uploads.get(index).and_then(Option::as_ref);
        let metadata: Vec<Option<Metadata>> = uploads
            .iter()
            .zip(self.payloads)
            .map(|(stored, payload)| {
                let stored = stored.as_ref()?;
                Some(link_metadata(payload, &stored.sha256, stored.uploaded.expires_at()))
            })
            .collect();
        let entries: SmallVec<[PayloadFields<'_>; INLINE_PAYLOADS]> = self
            .payloads
            .iter()
            .enumerate()
            .map(|(index, payload)| match stored(index) {
                None => self.entry(index, payload.direct(), payload.metadata()),
                Some(stored) => {
                    let url = stored.uploaded.url().as_str();
                    let link = Data::Link { url, size: stored.len };
                    self.entry(index, link, metadata[index].as_ref())
                }
            })
            .collect();
        let sent = (!uploads.is_empty()).then(|| {
            let sent = |(index, entry): (usize, &PayloadFields<'_>)| SentPayload {
                dataname: entry.dataname.to_owned(),
                type_name: entry.written_type(self.dialect).to_owned(),
                transport: entry.data.transport(),
                size: entry.data.size(),
                url: stored(index).map(|stored| stored.uploaded.url().clone()),
                expires_at: stored(index).and_then(|stored| stored.uploaded.expires_at()),
            };
            entries.iter().enumerate().map(sent).collect()
        });
        let fields = self.fields();
        let data_len: u64 = entries.iter().map(|entry| entry.data.size()).sum();
        let body = if data_len < POOLED_LEN as u64 {
            // Memory of its own: in a receipt that is kept it would keep a block that others share.
            // Enough for fields of usual lengths, which then need not be measured.
            let text_len = base64::encoded_len(data_len as usize);
            let mut out =
                BytesMut::with_capacity(2 * MESSAGE_FRAME + PAYLOAD_FRAME * entries.len() + text_len);
            encode(self.dialect, &fields, &entries, &mut out);
            out.freeze()
        } else {
            let len = encoded_len(self.dialect, &fields, &entries);
            self.inner.buffers.fill(len, |out| encode(self.dialect, &fields, &entries, out))
        };
        (body, sent)
    }

    /// The message is measured once more: a store may have broken its word about the length of its URLs.
    pub(super) fn check_size(&self, inner: &Inner, headers: &HeaderMap, len: usize) -> Result<()> {
        let len = len + subject::headers_len(headers);
        let max_payload = inner.client.max_payload();
        if max_payload > 0 && len > max_payload {
            let what = "the message does not fit the server's limit after its uploads";
            return Err(
                Error::new(ErrorKind::MessageTooLarge, what).with_size(len as u64, max_payload as u64)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PayloadRef;

    #[test]
    fn the_bound_is_never_below_the_length() {
        let (plain, escapes) = ("0b5f6c1e-6f43-4f6c-9a57-1f3c1b0f9d11", "\u{1}\u{2}\"\\".repeat(20));
        let bytes = [7; 3000];
        for dialect in [Dialect::Camel, Dialect::Snake] {
            for text in ["", plain, &escapes] {
                for len in [0, 1, 2, 3, 100, 3000] {
                    let mut fields = MessageFields::default();
                    let strings = [&mut fields.correlation_id, &mut fields.send_to, &mut fields.broker_url];
                    strings.into_iter().for_each(|field| *field = text);
                    let mut metadata = Metadata::default();
                    metadata.insert(text, text).unwrap();
                    fields.metadata = Some(&metadata);
                    for count in 0..4 {
                        let entry = PayloadRef::table_ipc(text, &bytes[..len]).fields();
                        // Its id is counted before it is made.
                        let entries = vec![PayloadFields { id: plain, ..entry }; count];
                        let exact = encoded_len(dialect, &fields, &entries);
                        let sized = (0..count).map(|_| (len as u64, entry));
                        let bound = add_max_lens(max_len(&fields), 3001, sized.clone()).unwrap();
                        assert!(exact <= bound, "{exact} > {bound}");
                        let reaches = add_max_lens(0, len as u64, sized);
                        assert_eq!(reaches.is_none(), count > 0);
                    }
                }
            }
        }
    }
}

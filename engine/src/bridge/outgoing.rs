//! A message on its way out: what is planned is what is written.

use std::time::SystemTime;

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

use super::draft::Draft;
use super::ids::Id;
use super::receipt::SentPayload;
use super::uploads::{Stored, link_metadata};
use super::{Inner, subject};
use crate::envelope::{
    Data, Dialect, MessageFields, Metadata, PayloadFields, Transport, encode, encoded_len, payload_entry_len,
};
use crate::error::{Error, ErrorKind, Result};
use crate::link::LinkStore;
use crate::payload::Payload;
use crate::plan::{PlanItem, PlanLimits, plan};
use crate::timestamp;

/// From how many bytes on a message is written into a buffer that is used again, which it then has for itself.
pub(super) const POOLED_LEN: usize = 16 << 10;

/// Payloads of one message that are handled without an allocation.
const INLINE_PAYLOADS: usize = 8;

/// A message whose ids and time are fixed, so that planning and writing see the same.
pub(super) struct Outgoing<'a> {
    dialect: Dialect,
    threshold: u64,
    inner: &'a Inner,
    pub(super) draft: &'a Draft,
    correlation_id: &'a str,
    msg_id: Id,
    timestamp: String,
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

impl<'a> Outgoing<'a> {
    pub(super) fn new(inner: &'a Inner, draft: &'a Draft) -> Self {
        let (dialect, threshold) = Self::rules(inner, draft);
        Self {
            dialect,
            threshold,
            inner,
            draft,
            correlation_id: draft.correlation_id.as_ref().map(Id::as_str).unwrap_or_default(),
            msg_id: draft.msg_id.clone().unwrap_or_else(Id::new),
            timestamp: timestamp::format(SystemTime::now()),
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

    fn fields(&self) -> MessageFields<'_> {
        message_fields(self.inner, self.draft, self.correlation_id, self.msg_id.as_str(), &self.timestamp)
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

    pub(super) fn plan(&self, inner: &Inner, headers: &HeaderMap) -> Result<Vec<Transport>> {
        let items: SmallVec<[PlanItem; INLINE_PAYLOADS]> = self
            .payloads
            .iter()
            .enumerate()
            .map(|(index, payload)| {
                let direct = self.entry(index, payload.direct(), payload.metadata());
                let direct_len = payload_entry_len(self.dialect, &direct);
                let link_len = match &inner.store {
                    Some(store) => self.max_link_len(index, payload, &**store),
                    None => usize::MAX,
                };
                PlanItem::new(payload.len(), direct_len, link_len)
            })
            .collect();
        let base_len = encoded_len(self.dialect, &self.fields(), &[]) + subject::headers_len(headers);
        let max_payload = Some(inner.client.max_payload()).filter(|&bytes| bytes > 0);
        plan(&items, &PlanLimits::new(self.threshold, max_payload, base_len, inner.store.is_some()))
    }

    /// How long the payload's entry is at most once it has been uploaded.
    fn max_link_len(&self, index: usize, payload: &Payload, store: &dyn LinkStore) -> usize {
        let metadata = link_metadata(payload, &[0; 32], Some(SystemTime::UNIX_EPOCH));
        let link = Data::Link { url: "", size: payload.len() };
        let entry = self.entry(index, link, Some(&metadata));
        payload_entry_len(self.dialect, &entry).saturating_add(store.max_url_len(payload.dataname()))
    }

    pub(super) fn encode(&self, uploads: &[Option<Stored>]) -> (Bytes, Vec<SentPayload>) {
        let metadata: Vec<Option<Metadata>> = uploads
            .iter()
            .zip(self.payloads)
            .map(|(stored, payload)| {
                let stored = stored.as_ref()?;
                Some(link_metadata(payload, &stored.sha256, stored.uploaded.expires_at()))
            })
            .collect();
        let mut entries = Vec::with_capacity(uploads.len());
        let mut sent = Vec::with_capacity(uploads.len());
        for (index, (payload, stored)) in self.payloads.iter().zip(uploads).enumerate() {
            let entry = match stored {
                None => self.entry(index, payload.direct(), payload.metadata()),
                Some(stored) => {
                    let url = stored.uploaded.url().as_str();
                    let link = Data::Link { url, size: payload.len() };
                    self.entry(index, link, metadata[index].as_ref())
                }
            };
            entries.push(entry);
            sent.push(SentPayload {
                dataname: payload.dataname().to_owned(),
                type_name: entry.written_type(self.dialect).to_owned(),
                transport: entry.data.transport(),
                size: payload.len(),
                url: stored.as_ref().map(|stored| stored.uploaded.url().clone()),
                expires_at: stored.as_ref().and_then(|stored| stored.uploaded.expires_at()),
            });
        }
        let fields = self.fields();
        let len = encoded_len(self.dialect, &fields, &entries);
        // A small one gets memory of its own: in a receipt that is kept it would keep a block that others share.
        let body = if len < POOLED_LEN {
            let mut out = BytesMut::with_capacity(len);
            encode(self.dialect, &fields, &entries, &mut out);
            out.freeze()
        } else {
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

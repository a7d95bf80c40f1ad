//! What a sender does not write, because a receiver with the same limits would refuse it.

use crate::envelope::{MessageFields, Metadata, PayloadFields};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;

/// Holds a message against the limits for names, metadata and the number of payloads, before anything is uploaded.
pub(super) fn check<'a>(
    fields: &MessageFields<'_>,
    entries: impl ExactSizeIterator<Item = PayloadFields<'a>>,
    limits: &Limits,
) -> Result<()> {
    if entries.len() > limits.payload_count {
        let what = "more payloads than `Limits::payload_count` allows in one message";
        return Err(too_much(what, entries.len(), limits.payload_count));
    }
    fields.strings().into_iter().try_for_each(|text| name(text, limits))?;
    metadata(fields.metadata, limits.metadata_len)?;
    let metadata_len = limits.metadata_len.saturating_sub(LINK_METADATA_LEN);
    for (index, entry) in entries.enumerate() {
        name(entry.dataname, limits)
            .and_then(|()| name(entry.type_name, limits))
            .and_then(|()| metadata(entry.metadata, metadata_len))
            .map_err(|error| error.in_payload(index))?;
    }
    Ok(())
}

fn name(text: &str, limits: &Limits) -> Result<()> {
    if text.len() > limits.name_len {
        let what = "a name is longer than `Limits::name_len` allows";
        return Err(too_much(what, text.len(), limits.name_len));
    }
    Ok(())
}

fn metadata(metadata: Option<&Metadata>, limit: usize) -> Result<()> {
    let len = metadata.map_or(0, Metadata::encoded_len);
    if len > limit {
        let what = "metadata is longer than `Limits::metadata_len` allows, with what a link adds";
        return Err(too_much(what, len, limit));
    }
    Ok(())
}

fn too_much(what: &'static str, needed: usize, limit: usize) -> Error {
    Error::new(ErrorKind::InvalidInput, what).with_size(needed as u64, limit as u64)
}

/// What a link adds to a payload's metadata at most: its digest and its end of life.
const LINK_METADATA_LEN: usize = 128;

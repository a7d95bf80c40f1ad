//! Payloads whose bytes are elsewhere: read into the message where they are few, begun and handed on where they are not.

use std::future::poll_fn;

use async_nats::HeaderMap;
use bytes::Bytes;

use super::Inner;
use super::draft::Draft;
use super::outgoing::Outgoing;
use crate::error::{Error, ErrorKind, Result};
use crate::link::Source;
use crate::payload::PayloadType;

/// Settles for every payload from a source what the planner has to know: afterwards its bytes are in memory, or it surely
/// travels by link.
///
/// Of a source of unknown length as much is read as could travel inside the message; if there is more, what was read goes
/// to the file server first, and then the rest. Nothing is read twice.
pub(super) async fn settle(inner: &Inner, draft: &mut Draft, headers: &HeaderMap) -> Result<()> {
    for index in 0..draft.payloads.len() {
        let Some(mut source) = draft.payloads[index].source_mut().take() else { continue };
        source.measure().await.map_err(|error| error.in_payload(index))?;
        if PayloadType::from_name(draft.payloads[index].type_name()) == PayloadType::Text {
            source.require_text();
        }
        let spill_len = Outgoing::new(inner, draft).spill_len(index, headers);
        let payload = &mut draft.payloads[index];
        if source.known_len().is_some_and(|len| len >= spill_len) {
            *payload.source_mut() = Some(source);
            continue;
        }
        match read_below(source, spill_len).await.map_err(|error| error.in_payload(index))? {
            Begun::Whole(chunks) => payload.set_chunks(chunks).map_err(|error| error.in_payload(index))?,
            Begun::More(source) if inner.store.is_some() => *payload.source_mut() = Some(source),
            Begun::More(_) => {
                let what = "the payload is too large for the message and no link store is configured";
                let error = Error::new(ErrorKind::MessageTooLarge, what).in_payload(index);
                return Err(error.with_size(spill_len, spill_len.saturating_sub(1)));
            }
        }
    }
    Ok(())
}

/// What a source turned out to be.
enum Begun {
    /// All of it.
    Whole(Vec<Bytes>),
    /// It has at least as many bytes as were asked for, which are read and still to be sent.
    More(Source),
}

/// Reads a source to its end if it has fewer than `limit` bytes.
async fn read_below(source: Source, limit: u64) -> Result<Begun> {
    let mut pieces = source.open().await?;
    let mut head = Vec::new();
    let mut len = 0;
    while len < limit {
        match poll_fn(|cx| pieces.poll_piece(cx)).await.transpose()? {
            Some(piece) => {
                len += piece.len() as u64;
                head.push(piece);
            }
            None => {
                if let Some(known) = source.known_len().filter(|&known| known != len) {
                    let what = format!("there are {len} bytes to send where {known} were announced");
                    return Err(Error::new(ErrorKind::SourceFailed, what));
                }
                return Ok(Begun::Whole(head));
            }
        }
    }
    Ok(Begun::More(source.begun(head, pieces)))
}

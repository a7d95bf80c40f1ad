//! A payload as its type has it, in the terms in which the peers report it.

use bytes::Bytes;
use natsbridge::envelope::PayloadView;
use natsbridge::link::LinkUrl;
use natsbridge::{Content, Error, PayloadData, PayloadType, Verification};
use serde_json::Value;

pub(crate) struct Opened {
    /// The raw bytes, if they could be had.
    pub(crate) raw: Option<Bytes>,
    /// `text`, `value` or `rows`, and nothing for bytes; or why there is none.
    pub(crate) value: Result<Option<(&'static str, Value)>, Error>,
    /// Whether something is odd about the bytes: the announced size, or a digest that is none.
    pub(crate) odd: bool,
}

/// Reads a payload as far as that goes without fetching: a link ends with the judgement of its URL, `None` for a good one.
pub(crate) fn open(view: &PayloadView<'_>) -> Option<Opened> {
    let failed = |error| Some(Opened { raw: None, value: Err(error), odd: false });
    let data = match view.content() {
        Ok(Content::Link(url)) => return LinkUrl::parse(&url).map_or_else(failed, |_| None),
        Ok(_) => view.decode(),
        Err(error) => Err(error),
    };
    match data {
        Ok(data) => {
            let odd = data.size_mismatch().is_some() || data.verification() == Verification::Unverified;
            Some(Opened { raw: Some(data.bytes().clone()), value: value(&data), odd })
        }
        Err(error) => failed(error),
    }
}

fn value(data: &PayloadData) -> Result<Option<(&'static str, Value)>, Error> {
    match data.payload_type() {
        PayloadType::Text => Ok(Some(("text", data.text()?.into()))),
        PayloadType::Dictionary => Ok(Some(("value", data.json_value()?))),
        _ if data.is_json_rows() => Ok(Some(("rows", data.json_value()?))),
        // Rows of Arrow are compared where they travel.
        PayloadType::Table => data.record_batches().map(|_| None),
        _ => Ok(None),
    }
}

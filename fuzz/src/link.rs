//! A part of the engine that nobody outside can call, and what others refer to, where they expect them to be.

#[path = "../../engine/src/link/plik/form.rs"]
mod form;

use bytes::Bytes;

pub(crate) mod url {
    pub(crate) use natsbridge::link::LinkUrl;
}

pub(crate) fn safe_name(name: &str) -> String {
    form::safe_name(name)
}

/// The form's content type, and what stands before and behind the bytes.
pub(crate) fn form(name: &str) -> (String, Bytes, Bytes) {
    form::form(name)
}

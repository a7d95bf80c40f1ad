//! sonic-rs with borrowed strings, and base64-turbo: the fastest of each kind among the crates.

use super::borrowed::{Message, message};
use crate::input::{Input, fields};

/// The message of this input.
pub fn encode(input: &Input) -> Vec<u8> {
    let message = message(&fields(input.shape), &input.raws, |raw| base64_turbo::STANDARD.encode(raw));
    sonic_rs::to_vec(&message).expect("strings and numbers can be written")
}

/// The payloads of this input's message.
pub fn decode(input: &Input) -> Vec<Vec<u8>> {
    let message: Message<'_> = sonic_rs::from_slice(&input.message).expect("the message is valid");
    let decode = |text: &str| base64_turbo::STANDARD.decode(text).expect("the base64 is valid");
    message.payloads.iter().map(|payload| decode(&payload.data)).collect()
}

//! simd-json with reused buffers, and base64-simd. It writes into its input, so the message is copied first.

use std::hint::black_box;

use bytes::Bytes;
use simd_json::Buffers;

use super::borrowed::{Message, base64_decode};
use crate::input::Input;
use crate::scenario::Contestant;

struct State {
    message: Bytes,
    copy: Vec<u8>,
    buffers: Buffers,
    decoded: Vec<Vec<u8>>,
}

/// The contestant that reads this input's message.
pub fn decode(input: &Input, raw: &[u8]) -> Contestant {
    let message = input.message.clone();
    let buffers = Buffers::new(message.len());
    let state = State { message, copy: Vec::new(), buffers, decoded: Vec::new() };
    Contestant::new("simd-json+base64-simd", raw, state, run, |state| state.decoded.concat())
}

fn run(state: &mut State) {
    let State { message, copy, buffers, decoded } = state;
    copy.clear();
    copy.extend_from_slice(black_box(message));
    let message: Message<'_> =
        simd_json::serde::from_slice_with_buffers(copy, buffers).expect("the message is valid");
    *decoded = message.payloads.iter().map(|payload| base64_decode(&payload.data)).collect();
}

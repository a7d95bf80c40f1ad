//! `base64/…`: the text of random bytes and back, by every tier of the engine, and by other crates.

use std::hint::black_box;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;

use super::{GATED, memcpy, same_traffic};
use crate::engine;
use crate::input::{SIZES, random_bytes};
use crate::scenario::{Contestant, Scenario};

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for (name, len) in SIZES {
        let encode = Scenario::new(format!("base64/encode/random/{name}"), len, move || encode(len));
        all.push(encode.gated(GATED.contains(&name)));
    }
    for (name, len) in SIZES {
        let decode = Scenario::new(format!("base64/decode/random/{name}"), len, move || decode(len));
        all.push(decode.gated(GATED.contains(&name)));
    }
    all
}

fn encode(len: usize) -> Vec<Contestant> {
    let raw = random_bytes(len, 1);
    let text = STANDARD.encode(&raw).into_bytes();
    let mut all = vec![memcpy(raw.clone()), same_traffic(&raw)];
    for tier in engine::tiers() {
        let codec = engine::base64(tier).expect("the machine has it");
        all.push(Contestant::new(
            format!("natsbridge-{tier}"),
            &text,
            (raw.clone(), BytesMut::with_capacity(text.len())),
            move |(raw, out)| {
                out.clear();
                codec.encode_append(black_box(raw), out);
            },
            |(_, out)| out.to_vec(),
        ));
    }
    let into_slice = |name: &str, encode: fn(&[u8], &mut [u8])| {
        Contestant::new(
            name,
            &text,
            (raw.clone(), vec![0; text.len()]),
            move |(raw, out)| encode(black_box(raw), black_box(out)),
            |(_, out)| out.clone(),
        )
    };
    #[cfg(feature = "rivals")]
    all.push(into_slice("base64-turbo", |raw, out| {
        base64_turbo::STANDARD.encode_into(raw, out).expect("the slice has the length of the text");
    }));
    all.push(into_slice("base64-simd", |raw, out| {
        let _ = base64_simd::STANDARD.encode(raw, base64_simd::Out::from_slice(out));
    }));
    all.push(into_slice("base64", |raw, out| {
        STANDARD.encode_slice(raw, out).expect("the slice has the length of the text");
    }));
    all
}

fn decode(len: usize) -> Vec<Contestant> {
    let raw = random_bytes(len, 1);
    let text = STANDARD.encode(&raw).into_bytes();
    let mut all = vec![memcpy(raw.clone()), same_traffic(&raw)];
    all.push(Contestant::new(
        "memchr",
        &text.len().to_le_bytes(),
        (text.clone(), 0),
        |(text, found)| *found = memchr::memchr(b'"', black_box(text)).unwrap_or(text.len()),
        |(_, found)| found.to_le_bytes().to_vec(),
    ));
    for tier in engine::tiers() {
        let codec = engine::base64(tier).expect("the machine has it");
        all.push(Contestant::new(
            format!("natsbridge-{tier}"),
            &raw,
            (text.clone(), Vec::with_capacity(raw.len() + 3)),
            move |(text, out)| {
                out.clear();
                codec.decode_append(black_box(text), out).expect("the base64 is valid");
            },
            |(_, out)| out.clone(),
        ));
    }
    let into_slice = |name: &str, decode: fn(&[u8], &mut [u8])| {
        Contestant::new(
            name,
            &raw,
            (text.clone(), vec![0; raw.len() + 64]),
            move |(text, out)| decode(black_box(text), black_box(out)),
            move |(_, out)| out[..len].to_vec(),
        )
    };
    #[cfg(feature = "rivals")]
    all.push(into_slice("base64-turbo", |text, out| {
        base64_turbo::STANDARD.decode_into(text, out).expect("the base64 is valid");
    }));
    all.push(into_slice("base64-simd", |text, out| {
        base64_simd::STANDARD.decode(text, base64_simd::Out::from_slice(out)).expect("the base64 is valid");
    }));
    all.push(into_slice("base64", |text, out| {
        STANDARD.decode_slice(text, out).expect("the base64 is valid");
    }));
    all
}

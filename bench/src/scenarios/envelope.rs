//! `envelope/…`: whole messages to bytes and back, by the engine and by what one would write without it.

use std::hint::black_box;
use std::rc::Rc;

use bytes::BytesMut;

use super::{GATED, memcpy, same_traffic};
use crate::engine::{Decoded, Shared};
use crate::input::{Input, SIZES, Shape, fields, payloads};
use crate::rival::{borrowed, naive};
use crate::scenario::{Contestant, Scenario};
use crate::{engine, input};

/// How many payloads a message has in the scenarios `payloads-N`.
const COUNTS: [usize; 3] = [4, 16, 64];

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    let mut add = |operation: &str, input: &str, (size, len): input::Size, shape, count: usize| {
        let build: fn(Shape, usize, usize) -> Vec<Contestant> = match operation {
            "encode" => encode,
            "scan" => scan,
            _ => decode,
        };
        let name = format!("envelope/{operation}/{input}/{size}");
        let scenario = Scenario::new(name, len * count, move || build(shape, count, len));
        all.push(scenario.gated(GATED.contains(&size)));
    };
    for size in SIZES {
        add("encode", "binary", size, Shape::Plain, 1);
    }
    for (input, shape) in [("snake", Shape::Snake), ("escapes", Shape::Escapes)] {
        add("encode", input, SIZES[0], shape, 1);
    }
    for count in COUNTS {
        add("encode", &format!("payloads-{count}"), SIZES[1], Shape::Plain, count);
    }
    for size in SIZES {
        add("decode", "binary", size, Shape::Plain, 1);
    }
    for size in SIZES {
        add("decode", "any-order", size, Shape::AnyOrder, 1);
    }
    for (input, shape) in [("snake", Shape::Snake), ("escapes", Shape::Escapes)] {
        add("decode", input, SIZES[0], shape, 1);
    }
    add("decode", "slashes", SIZES[3], Shape::Slashes, 1);
    for count in COUNTS {
        add("decode", &format!("payloads-{count}"), SIZES[1], Shape::Plain, count);
    }
    add("scan", "binary", SIZES[0], Shape::Plain, 1);
    add("scan", "binary", SIZES[3], Shape::Plain, 1);
    add("scan", "payloads-8", SIZES[1], Shape::Plain, 8);
    #[cfg(feature = "rivals")]
    all.push(Scenario::new("envelope/encode-fresh/binary/64B".into(), 64, fresh::contestants));
    all
}

fn encode(shape: Shape, count: usize, len: usize) -> Vec<Contestant> {
    let input = Rc::new(Input::new(shape, count, len));
    let message = input.message.clone();
    let mut all = vec![memcpy(input.concatenated()), same_traffic(&input.concatenated())];
    all.push(Contestant::new(
        "natsbridge",
        &message,
        (Rc::clone(&input), BytesMut::with_capacity(message.len())),
        |(input, out)| {
            out.clear();
            let fields = fields(input.shape);
            match &input.raws[..] {
                // What a producer with one payload writes, without the allocation of a list.
                [raw] => engine::encode(
                    input.shape.dialect(),
                    black_box(&fields),
                    &[input::payload(black_box(raw))],
                    out,
                ),
                raws => {
                    engine::encode(input.shape.dialect(), black_box(&fields), &payloads(black_box(raws)), out)
                }
            }
        },
        |(_, out)| out.to_vec(),
    ));
    let owned = |name: &str, encode: fn(&Input) -> Vec<u8>| {
        Contestant::new(
            name,
            &message,
            (Rc::clone(&input), Vec::new()),
            move |(input, out)| *out = encode(black_box(input)),
            |(_, out)| out.clone(),
        )
    };
    all.push(owned("serde_json+base64", naive::encode));
    if shape != Shape::Snake {
        all.push(owned("serde_json+base64-simd", borrowed::encode));
        #[cfg(feature = "rivals")]
        all.push(owned("sonic-rs+base64-turbo", crate::rival::sonic::encode));
    }
    all
}

fn decode(shape: Shape, count: usize, len: usize) -> Vec<Contestant> {
    let input = Rc::new(Input::new(shape, count, len));
    let raw = input.concatenated();
    let message = input.message.clone();
    let mut all = vec![memcpy(raw.clone()), same_traffic(&raw)];
    all.push(Contestant::new(
        "natsbridge",
        &raw,
        (message.clone(), Decoded::default()),
        |(message, out)| engine::decode(black_box(message), out),
        |(_, out)| out.concat(),
    ));
    all.push(Contestant::new(
        "natsbridge-shared",
        &raw,
        (message.clone(), Shared::default()),
        |(message, out)| engine::decode_shared(black_box(message), out),
        |(_, out)| out.payloads.concat(),
    ));
    all.push(Contestant::new(
        "natsbridge-lazy",
        &raw,
        (message, Vec::with_capacity(raw.len() + 64)),
        |(message, out)| {
            out.clear();
            engine::decode_lazily(black_box(message), out);
        },
        |(_, out)| out.clone(),
    ));
    let owned = |name: &str, decode: fn(&Input) -> Vec<Vec<u8>>| {
        Contestant::new(
            name,
            &raw,
            (Rc::clone(&input), Vec::new()),
            move |(input, out)| *out = decode(black_box(input)),
            |(_, out)| out.concat(),
        )
    };
    all.push(owned("serde_json+base64", naive::decode));
    if shape != Shape::Snake && shape != Shape::Slashes && shape != Shape::Escapes {
        all.push(owned("serde_json-borrowed+base64-simd", borrowed::decode));
        #[cfg(feature = "rivals")]
        all.push(owned("sonic-rs+base64-turbo", crate::rival::sonic::decode));
    }
    #[cfg(feature = "rivals")]
    if shape != Shape::Snake {
        all.push(crate::rival::simd::decode(&input, &raw));
    }
    all
}

/// Reading the envelope without asking for a payload.
fn scan(shape: Shape, count: usize, len: usize) -> Vec<Contestant> {
    let input = Input::new(shape, count, len);
    vec![Contestant::new(
        "natsbridge",
        &count.to_le_bytes(),
        (input.message, 0),
        |(message, count)| *count = engine::scan(black_box(message)),
        |(_, count)| count.to_le_bytes().to_vec(),
    )]
}

/// Ids and the time made for every message, as a producer does.
#[cfg(feature = "rivals")]
mod fresh {
    use super::*;

    pub(super) fn contestants() -> Vec<Contestant> {
        let input = Rc::new(Input::new(Shape::Plain, 1, 64));
        // Ids and times differ every time, so the answer is what comes out again, and the length of the message.
        let answer = |message: &[u8]| {
            let mut answer = naive::decode_message(message).concat();
            answer.extend_from_slice(&message.len().to_le_bytes());
            answer
        };
        let expected = answer(&input.message);
        vec![
            Contestant::new(
                "natsbridge",
                &expected,
                (Rc::clone(&input), BytesMut::with_capacity(input.message.len())),
                |(input, out)| {
                    out.clear();
                    engine::encode_fresh(
                        fields(Shape::Plain),
                        input::payload(black_box(&input.raws[0])),
                        out,
                    );
                },
                move |(_, out)| answer(out),
            ),
            Contestant::new(
                "serde_json+base64",
                &expected,
                (input, Vec::new()),
                |(input, out)| *out = naive::encode_fresh(black_box(input)),
                move |(_, out)| answer(out),
            ),
        ]
    }
}

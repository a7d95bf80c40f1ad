//! Every tier of base64 that this machine has: equal to the others, to `base64-simd` and to the `base64` crate.

use std::process::Command;
use std::time::{Duration, Instant};

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use base64_simd::Out;
use natsbridge::base64::{self, Codec, Tier};

use crate::base64::noise;
use crate::oracle;
use crate::properties::{codecs, decode_in_pieces_by, encode_in_pieces_by};

/// All short lengths, and those around the borders of what the kernels take at once.
fn lengths() -> impl Iterator<Item = usize> {
    let borders = [24, 48, 96, 192, 208, 256, 512, 768, 1024, 4096, 12 * 1024, 16 * 1024, 24 * 1024, 65_536];
    (0..=420).chain(borders.into_iter().flat_map(|border| border - 3..=border + 20).filter(|&len| len > 420))
}

/// A slice that begins so many bytes behind a multiple of 64, with guards around it.
struct Guarded {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

const GUARD: u8 = 0xA5;

impl Guarded {
    fn new(len: usize, alignment: usize) -> Self {
        let memory = vec![GUARD; len + 256];
        let start = memory.as_ptr().align_offset(64) + 64 + alignment;
        Self { memory, start, len }
    }

    fn slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }

    fn check(&self, what: &str) {
        let (before, rest) = self.memory.split_at(self.start);
        assert!(before.iter().chain(&rest[self.len..]).all(|&byte| byte == GUARD), "written outside: {what}");
    }
}

#[test]
fn every_tier_that_the_machine_has_is_there() {
    let mut expected = vec![Tier::Scalar, Tier::Portable];
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx2") {
            expected.push(Tier::Avx2);
        }
        if ["avx512f", "avx512bw", "avx512vbmi", "bmi2"].iter().all(|name| has(name)) {
            expected.push(Tier::Avx512);
        }
    }
    assert_eq!(Tier::available().collect::<Vec<_>>(), expected);
    assert_eq!(codecs().map(|codec| codec.tier()).collect::<Vec<_>>(), expected, "what the tests here run");
    assert_eq!(Tier::best(), *expected.last().unwrap());
    assert_eq!(Codec::new().tier(), Tier::current());
    for tier in [Tier::Scalar, Tier::Portable, Tier::Avx2, Tier::Avx512] {
        assert_eq!(tier.is_available(), expected.contains(&tier));
        assert_eq!(Codec::with_tier(tier).is_ok(), expected.contains(&tier), "{tier}");
        assert_eq!(tier.to_string().parse(), Ok(tier));
    }
}

#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    match feature {
        "avx512f" => std::is_x86_feature_detected!("avx512f"),
        "avx512bw" => std::is_x86_feature_detected!("avx512bw"),
        "avx512vbmi" => std::is_x86_feature_detected!("avx512vbmi"),
        "bmi2" => std::is_x86_feature_detected!("bmi2"),
        other => panic!("not asked for: {other}"),
    }
}

#[test]
fn all_tiers_and_other_crates_agree_at_every_length_and_alignment() {
    let bytes = noise(80_000);
    for len in lengths() {
        let alignments = if len <= 420 { 64 } else { 8 };
        for at in 0..alignments {
            let at = at * (64 / alignments) + at % 2;
            let input = &bytes[at..at + len];
            let expected = STANDARD.encode(input);
            if at == 0 {
                assert_eq!(base64_simd::STANDARD.encode_to_string(input), expected);
            }
            let url_safe = expected.replace('+', "-").replace('/', "_");
            // The bytes lie at one alignment, the text at another.
            let other = (at * 5 + len) % 64;
            for codec in codecs() {
                let what = format!("{len} bytes at {at} and {other} by {}", codec.tier());
                let mut text = Guarded::new(expected.len(), other);
                assert_eq!(codec.encode_into(input, text.slice()), expected.len());
                assert_eq!(text.slice(), expected.as_bytes(), "{what}");
                text.check(&what);
                let mut out = Guarded::new(len, at % 64);
                assert_eq!(codec.decode_into(text.slice(), out.slice()), Ok(len), "{what}");
                assert_eq!(out.slice(), input, "{what}");
                out.check(&what);
                let mut out = Guarded::new(len, at % 64);
                text.slice().copy_from_slice(url_safe.as_bytes());
                let unpadded = url_safe.trim_end_matches('=').len();
                assert_eq!(codec.decode_into(&text.slice()[..unpadded], out.slice()), Ok(len), "{what}");
                assert_eq!(out.slice(), input, "{what}");
                out.check(&what);
            }
        }
    }
}

#[test]
fn every_wrong_byte_in_every_lane_is_refused_at_its_place_by_every_tier() {
    // Two turns of the widest main loop, single blocks, and a tail, of which each padding is tried.
    let bytes = noise(453);
    let texts = [
        STANDARD.encode(&bytes[..450]),
        STANDARD.encode(&bytes[..451]),
        URL_SAFE_NO_PAD.encode(&bytes[..452]),
        URL_SAFE.encode(&bytes[..453]),
        STANDARD_NO_PAD.encode(&bytes[..50]),
    ];
    for text in texts {
        let mut text = text.into_bytes();
        let mut out = vec![0; 460];
        for at in 0..text.len() {
            let right = text[at];
            for byte in 0..=255 {
                text[at] = byte;
                let expected = oracle::base64::decode(&text);
                for codec in codecs() {
                    let got = codec.decode_into(&text, &mut out).map(|len| &out[..len]);
                    let got = got.map_err(|error| error.offset);
                    let expected = expected.as_deref().map_err(|&offset| offset);
                    assert_eq!(got, expected, "{byte:#04x} at {at} by {}", codec.tier());
                }
            }
            text[at] = right;
        }
    }
}

#[test]
fn pieces_of_every_length_give_the_same_in_every_tier() {
    let bytes = noise(5000);
    let text = STANDARD.encode(&bytes);
    let url_safe = URL_SAFE.encode(&bytes);
    for codec in codecs() {
        for len in (1..=300).chain([511, 512, 513, 1000, 2048, 4999, 5000]) {
            let pieces: Vec<_> = bytes.chunks(len).collect();
            assert!(encode_in_pieces_by(codec, &pieces) == text, "{len} by {}", codec.tier());
            for text in [&text, &url_safe] {
                let pieces: Vec<_> = text.as_bytes().chunks(len).collect();
                let got = decode_in_pieces_by(codec, &pieces);
                assert!(got.as_ref() == Ok(&bytes), "{len} by {}", codec.tier());
            }
        }
    }
}

#[test]
fn text_that_is_too_long_for_its_room_is_refused_and_nothing_written_outside() {
    let text = STANDARD.encode(noise(300));
    for codec in codecs() {
        for room in 0..300 {
            let mut out = Guarded::new(room, room % 64);
            let error = codec.decode_into(text.as_bytes(), out.slice()).unwrap_err();
            assert_eq!(error.offset, room / 3 * 4, "{error}");
            out.check("refused");
        }
        // Wrong text, whatever the room, is an error and never a panic.
        for text in ["QUJDQ", "QUJDQ===", "====", "Q", "QUJDQUJDQUJD=", "QUJD*UJDQUJD"] {
            for room in 0..12 {
                let mut out = Guarded::new(room, 0);
                codec.decode_into(text.as_bytes(), out.slice()).unwrap_err();
                out.check(text);
            }
        }
    }
}

#[test]
#[should_panic(expected = "range end index 8 out of range")]
fn encoding_into_too_little_room_is_a_mistake_of_the_program() {
    base64::encode_into(b"Hello", &mut [0; 7]);
}

/// Set for the child processes of the tests below: the tier that they are to have.
const EXPECTED: &str = "TEST_OF_BASE64_TIER_EXPECTS";

#[test]
fn the_process_has_the_tier_that_it_should() {
    // Also serves as what the child processes run.
    let expected = match std::env::var(EXPECTED) {
        Ok(name) => name.parse().unwrap(),
        Err(_) => Tier::from_env().ok().flatten().unwrap_or_else(Tier::best),
    };
    assert_eq!(Tier::current(), expected);
    let mut out = Vec::new();
    base64::decode_append(b"QUJD", &mut out).unwrap();
    assert_eq!((Codec::new().tier(), out.as_slice()), (expected, b"ABC".as_slice()));
}

/// Runs the test above in a process with this value of the variable; gives what it wrote to standard error.
fn child(value: &str, expected: Tier) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tiers::the_process_has_the_tier_that_it_should", "--nocapture"])
        .env("NATSBRIDGE_BASE64_TIER", value)
        .env(EXPECTED, expected.name())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{value}: {stdout}{stderr}");
    stderr.into_owned()
}

#[test]
fn the_environment_forces_the_tier_of_a_process() {
    for tier in Tier::available() {
        assert!(!child(tier.name(), tier).contains("NATSBRIDGE_BASE64_TIER"), "nothing to report");
    }
    assert!(!child("", Tier::best()).contains("NATSBRIDGE_BASE64_TIER"), "empty is as not set");
    for wrong in ["avx", "AVX2", " avx2", "best"] {
        let stderr = child(wrong, Tier::best());
        assert_eq!(stderr.matches("NATSBRIDGE_BASE64_TIER").count(), 1, "said once: {stderr}");
        assert!(stderr.contains(Tier::best().name()), "and what runs instead: {stderr}");
    }
}

/// The least of several runs of each, taken in turns, so that a busy machine does not count.
fn race(mut left: impl FnMut(), mut right: impl FnMut()) -> (Duration, Duration) {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..8).for_each(|_| work());
        start.elapsed()
    };
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..200 {
        best.0 = best.0.min(time(&mut left));
        best.1 = best.1.min(time(&mut right));
    }
    best
}

/// Instruction counts cannot see AVX-512, so this is the one place where a kernel that has become slow shows.
#[test]
fn the_widest_kernels_are_at_least_twice_as_fast_as_base64_simd() {
    let Ok(codec) = Codec::with_tier(Tier::Avx512) else {
        println!("this machine has no AVX-512 with VBMI: nothing to compare");
        return;
    };
    let bytes = noise(16 * 1024);
    let mut text = vec![0; base64::encoded_len(bytes.len())];
    let mut text_of_other = text.clone();
    let encode = race(
        || assert!(codec.encode_into(&bytes, &mut text) > 0),
        || assert!(!base64_simd::STANDARD.encode(&bytes, Out::from_slice(&mut text_of_other)).is_empty()),
    );
    assert_eq!(text, text_of_other);
    let (mut out, mut out_of_other) = (vec![0; bytes.len()], vec![0; bytes.len()]);
    let decode = race(
        || assert!(codec.decode_into(&text, &mut out).is_ok()),
        || assert!(base64_simd::STANDARD.decode(&text, Out::from_slice(&mut out_of_other)).is_ok()),
    );
    assert_eq!(out, out_of_other);
    let mut streamed = Vec::with_capacity(bytes.len());
    let in_pieces = race(
        || {
            streamed.clear();
            let mut decoder = codec.decoder();
            for piece in text.chunks(4099) {
                decoder.update(piece, &mut streamed).unwrap();
            }
            decoder.finish(&mut streamed).unwrap();
        },
        || assert!(base64_simd::STANDARD.decode(&text, Out::from_slice(&mut out_of_other)).is_ok()),
    );
    assert_eq!(streamed, bytes);
    // The pieces cost something of their own, above all without full optimisation; a kernel must run in there all the same.
    for (what, factor, (own, other)) in
        [("encode", 2, encode), ("decode", 2, decode), ("in pieces", 1, in_pieces)]
    {
        println!("{what}: {own:?} against {other:?}");
        assert!(own * factor <= other, "{what}: {own:?} against {other:?}");
    }
}

//! Base64: one call, pieces, the oracle and an independent crate agree on every text (SPEC `B64`).

use std::time::{Duration, Instant};

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::BytesMut;
use natsbridge::base64::{self, Codec, Invalid};
use proptest::prelude::*;

use crate::oracle;
use crate::properties::{check_decode, check_encode, codecs, decode_in_pieces_by, encode_in_pieces_by};

/// Bytes without a pattern that a codec could be right about by luck.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::new();
    base64::decode_append(text, &mut out).map(|()| out).map_err(|error| error.offset)
}

fn decode_in_pieces(pieces: &[&[u8]]) -> Result<Vec<u8>, Invalid> {
    decode_in_pieces_by(Codec::new(), pieces)
}

fn encode_in_pieces(pieces: &[&[u8]]) -> BytesMut {
    encode_in_pieces_by(Codec::new(), pieces)
}

#[test]
fn every_length_at_every_alignment_agrees_with_two_other_implementations() {
    let bytes = noise(300 + 64);
    for len in 0..=300 {
        for start in 0..64 {
            let input = &bytes[start..start + len];
            let expected = STANDARD.encode(input);
            if start == 0 {
                assert_eq!(expected, oracle::base64::encode(input));
            }
            let mut out = BytesMut::with_capacity(512);
            out.extend_from_slice(&[b'.'; 64][..start]); // the output's alignment
            base64::encode_append(input, &mut out);
            assert_eq!(&out[start..], expected.as_bytes(), "{len} at {start}");

            let mut text = vec![b'.'; start];
            text.extend_from_slice(expected.as_bytes());
            let mut back = vec![b'.'; start];
            base64::decode_append(&text[start..], &mut back).unwrap();
            assert_eq!(&back[start..], input, "{len} at {start}");
            assert_eq!(decode_in_pieces(&[&text[start..]]).unwrap(), input, "{len} at {start}");
        }
    }
}

#[test]
fn both_alphabets_are_read_padded_or_not_with_one_line_end_or_none() {
    let bytes = noise(300);
    for len in 0..=300 {
        let input = &bytes[..len];
        for text in
            [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| engine.encode(input))
        {
            for end in ["", "\n", "\r\n"] {
                let text = format!("{text}{end}");
                assert_eq!(decode(text.as_bytes()).as_deref(), Ok(input), "{text:?}");
                assert_eq!(decode_in_pieces(&[text.as_bytes()]).as_deref(), Ok(input), "{text:?}");
            }
            for end in ["\r", "\n\n", "\n\r", "\r\n\n", " ", "\t", "\0", "\n "] {
                check_decode(format!("{text}{end}").as_bytes(), &[1, 2, 3]);
                assert!(decode(format!("{text}{end}").as_bytes()).is_err(), "{text:?} {end:?}");
            }
        }
    }
}

#[test]
fn the_table_of_rules_holds_with_its_offsets() {
    let table: [(&str, Result<&[u8], usize>); 40] = [
        ("QUJD", Ok(b"ABC")),
        ("QQ==", Ok(b"A")),
        ("QQ", Ok(b"A")),
        ("QQ==\n", Ok(b"A")),
        ("QQ==\r\n", Ok(b"A")),
        ("QQ\n", Ok(b"A")),
        ("QQ\r\n", Ok(b"A")),
        ("-_8=", Ok(b"\xfb\xff")),
        ("-_8", Ok(b"\xfb\xff")),
        ("+/8=", Ok(b"\xfb\xff")),
        ("", Ok(b"")),
        ("\n", Ok(b"")),
        ("\r\n", Ok(b"")),
        // padding
        ("QQ=", Err(3)),
        ("QQ=\n", Err(3)),
        ("QQ=A", Err(3)),
        ("QQ===", Err(4)),
        ("QUI==", Err(4)),
        ("QUJD=", Err(4)),
        ("QUJD====", Err(4)),
        ("=", Err(0)),
        ("====", Err(0)),
        ("Q=", Err(1)),
        ("Q===", Err(1)),
        ("QQ==QQ==", Err(4)),
        ("QQ==A", Err(4)),
        // characters
        ("\r", Err(1)),
        ("\n\n", Err(1)),
        ("QQ==\n\n", Err(5)),
        ("QQ==\r", Err(5)),
        (" QQ==", Err(0)),
        ("QQ ==", Err(2)),
        ("QUJD\nQUJD", Err(5)),
        ("QUJ\u{e9}", Err(3)),
        ("+_8=", Err(1)),
        ("QUJDQUJD_+8=", Err(9)),
        // where something is missing, and bits that are left over
        ("Q", Err(1)),
        ("QUJDQ\n", Err(5)),
        ("QR==", Err(1)),
        ("QUK=", Err(2)),
    ];
    for (text, expected) in table {
        assert_eq!(decode(text.as_bytes()), expected.map(<[u8]>::to_vec), "{text:?}");
        for at in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            let got = decode_in_pieces(&[left, right]).map_err(|error| error.offset);
            assert_eq!(got, expected.map(<[u8]>::to_vec), "{text:?} split at {at}");
        }
    }
    // Left-over bits are wrong as soon as the text cannot go on, whatever else follows.
    for text in ["QR\nA", "QR\r", "QR=", "QR=A", "QR"] {
        assert_eq!(decode(text.as_bytes()), Err(1), "{text:?}");
    }
}

#[test]
fn any_wrong_byte_anywhere_is_found_at_the_same_place_under_every_split() {
    let plain = STANDARD.encode(noise(60)).into_bytes();
    let url_safe: Vec<u8> = plain.iter().map(|&byte| if byte == b'/' { b'_' } else { byte }).collect();
    for (text, max_len) in [(&plain, 70), (&url_safe, 20)] {
        for len in 1..=max_len {
            let mut text = text[..len].to_vec();
            for at in 0..len {
                let right = text[at];
                for byte in 0..=255 {
                    text[at] = byte;
                    let expected = oracle::base64::decode(&text);
                    assert_eq!(decode(&text), expected, "{:?}", String::from_utf8_lossy(&text));
                    // Every two-way split of the short ones, and of the long ones those around the byte.
                    let near = at.saturating_sub(1)..=(at + 1).min(len);
                    for cut in if len <= 9 { 0..=len } else { near } {
                        let (left, right) = text.split_at(cut);
                        let got = decode_in_pieces(&[left, right]).map_err(|error| error.offset);
                        assert_eq!(got, expected, "{:?} cut at {cut}", String::from_utf8_lossy(&text));
                    }
                }
                text[at] = right;
            }
        }
    }
}

#[test]
fn a_failing_stream_has_appended_only_whole_groups_before_the_error() {
    let mut out = Vec::new();
    let error = base64::Decoder::new().update(b"QUJDQUJDQU*D", &mut out).unwrap_err();
    assert_eq!((error.offset, out.as_slice()), (10, b"ABCABC".as_slice()));
}

#[test]
fn byte_by_byte_gives_the_same_as_at_once() {
    for len in 0..=300 {
        let bytes = noise(len);
        let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
        let text = encode_in_pieces(&pieces);
        assert_eq!(text, STANDARD.encode(&bytes));
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(decode_in_pieces(&pieces).unwrap(), bytes);
    }
}

#[test]
fn coders_start_afresh_after_finish() {
    let (mut text, mut bytes) = (BytesMut::new(), Vec::new());
    let (mut encoder, mut decoder) = (base64::Encoder::new(), base64::Decoder::new());
    for _ in 0..3 {
        encoder.update(b"A", &mut text);
        encoder.finish(&mut text);
        decoder.update(b"-_8=\n", &mut bytes).unwrap();
        decoder.finish(&mut bytes).unwrap();
        decoder.update(b"+/8", &mut bytes).unwrap();
        decoder.finish(&mut bytes).unwrap();
    }
    assert_eq!(text, "QQ==QQ==QQ==");
    assert_eq!(bytes, b"\xfb\xff".repeat(6));
}

#[test]
fn lengths_are_announced_exactly_or_from_above() {
    for len in 0..=300 {
        let text = STANDARD.encode(noise(len));
        assert_eq!(base64::encoded_len(len), text.len());
        for text in [text.trim_end_matches('='), &text, &format!("{text}\n")] {
            assert!((len..=len + 3).contains(&base64::max_decoded_len(text.len())), "{text:?}");
        }
    }
    assert_eq!(base64::encoded_len(786_015), 1_048_020);
    assert_eq!(base64::encoded_len(999_999), 1_333_332);
    assert_eq!(base64::encoded_len(1_000_000), 1_333_336);
}

/// The best of a few runs, so that a busy machine does not count.
fn time(mut work: impl FnMut()) -> Duration {
    (0..3)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .min()
        .unwrap_or_default()
}

#[test]
fn hostile_texts_cost_no_more_than_a_constant_times_plain_ones() {
    const LEN: usize = 1 << 20;
    let plain = STANDARD.encode(noise(LEN / 4 * 3)).into_bytes();
    let neutral = vec![b'A'; LEN];
    let with = |text: &[u8], places: &[(usize, u8)]| {
        let mut text = text.to_vec();
        for (at, byte) in places {
            text[*at] = *byte;
        }
        text
    };
    let every_fourth: Vec<_> = (3..LEN).step_by(4).map(|at| (at, b'-')).collect();
    let hostile = [
        with(&plain, &[(LEN - 1, b'-')]),
        with(&neutral, &[(LEN - 1, b'-')]),
        with(&neutral, &[(LEN / 2, b'-'), (LEN - 1, b'+')]),
        with(&neutral, &[(LEN / 2, b'+'), (LEN - 1, b'-')]),
        with(&neutral, &[(LEN - 1, b'*')]),
        with(&neutral, &every_fourth),
        with(&neutral, &[(LEN - 2, b'=')]),
        vec![b'\n'; LEN],
        vec![b'='; LEN],
    ];
    let mut out = Vec::with_capacity(LEN);
    for codec in codecs() {
        let tier = codec.tier();
        let mut one_call = |text: &[u8]| {
            out.clear();
            let _ = codec.decode_append(text, &mut out);
        };
        let base = time(|| one_call(&plain));
        for (index, text) in hostile.iter().enumerate() {
            let took = time(|| one_call(text));
            assert!(took < base * 20, "{index} by {tier}: {took:?} against {base:?}");
        }
        for piece_len in [1000, 65_536, LEN] {
            let stream =
                |text: &[u8]| drop(decode_in_pieces_by(codec, &text.chunks(piece_len).collect::<Vec<_>>()));
            let base = time(|| stream(&plain));
            for (index, text) in hostile.iter().enumerate() {
                let took = time(|| stream(text));
                assert!(took < base * 20, "{index} in {piece_len} by {tier}: {took:?} against {base:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn random_splits_of_long_inputs_change_nothing(
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        splits in prop::collection::vec(any::<u8>(), 0..12),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        url_safe in any::<bool>(),
    ) {
        check_encode(&bytes, &splits);
        let mut text = if url_safe { URL_SAFE.encode(&bytes) } else { STANDARD.encode(&bytes) }.into_bytes();
        check_decode(&text, &splits);
        for (at, byte) in places {
            if !text.is_empty() {
                let at = at.index(text.len());
                text[at] = byte;
            }
        }
        check_decode(&text, &splits);
    }

    #[test]
    fn texts_of_awkward_characters_are_judged_alike(text in "[AQ+/\\-_=\n\r *]{0,12}", splits in any::<[u8; 3]>()) {
        check_decode(text.as_bytes(), &splits);
    }
}

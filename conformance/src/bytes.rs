//! Bytes and strings on the testee protocol's wire: hex, printable text, a generator, or a digest.

use serde_json::{Value, json};

use crate::sha256;

/// Answers give so many bytes as hex, and longer ones as their digest and length.
pub const INLINE: usize = 65_536;

/// The lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The bytes behind hexadecimal digits of either case.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8)).collect()
}

/// `len` bytes of xorshift64*, the top byte of each output.
pub fn generate(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 56) as u8
    })
    .take(len)
    .collect()
}

/// The bytes that a request means: `{"hex"}`, `{"text"}` or `{"gen"}`.
pub fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    if let Some(text) = value["text"].as_str() {
        return Some(text.as_bytes().to_vec());
    }
    if let Some(digits) = value["hex"].as_str() {
        return unhex(digits);
    }
    let generator = value.get("gen")?;
    Some(generate(generator["seed"].as_u64()?, usize::try_from(generator["len"].as_u64()?).ok()?))
}

/// The bytes of a string of the format: plain, or `{"hex"}`.
pub fn string_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        other => unhex(other["hex"].as_str()?),
    }
}

/// The text of a string of the format, where it is UTF-8.
pub fn string_of(value: &Value) -> Option<String> {
    String::from_utf8(string_bytes(value)?).ok()
}

/// An integer that may travel as a decimal string.
pub fn integer_of(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().map(i128::from).or_else(|| other.as_u64().map(i128::from)),
    }
}

/// Bytes for an answer.
pub fn answer_bytes(bytes: &[u8]) -> Value {
    if bytes.len() <= INLINE {
        json!({"hex": hex(bytes)})
    } else {
        json!({"sha256": sha256(bytes), "len": bytes.len()})
    }
}

/// A string for an answer or a request.
pub fn answer_string(text: &str) -> Value {
    if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        Value::from(text)
    } else {
        json!({"hex": hex(text.as_bytes())})
    }
}

/// An integer for an answer.
pub fn answer_integer(value: i128) -> Value {
    const EXACT: i128 = (1 << 53) - 1;
    match i64::try_from(value) {
        Ok(small) if (-EXACT..=EXACT).contains(&value) => Value::from(small),
        _ => Value::from(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_one_that_is_written_down() {
        // By hand, from testee.md: seed 7 begins with state 15.
        let testee_md = include_str!("../protocol/testee.md");
        assert!(testee_md.contains(&format!("first 8 bytes of seed 7 are `{}`", hex(&generate(7, 8)))));
        let mut x: u64 = 15;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        assert_eq!(generate(7, 1)[0], (x.wrapping_mul(2_685_821_657_736_338_717) >> 56) as u8);
    }

    #[test]
    fn hex_goes_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(&hex(&all)).unwrap(), all);
        assert_eq!(unhex("fF").unwrap(), [255]);
        assert!(unhex("f").is_none() && unhex("fg").is_none() && unhex("+1").is_none());
    }
}

//! Decimal digits, two at a time and without a formatter.

/// The digits of `u64::MAX`.
pub(crate) const DECIMAL_LEN: usize = 20;

/// How many digits a number has.
pub(crate) fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The digits of a number, at the end of the given place.
pub(crate) fn decimal(value: u64, digits: &mut [u8; DECIMAL_LEN]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = value;
    while rest >= 100 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair((rest % 100) as u32));
        rest /= 100;
    }
    if rest >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair(rest as u32));
    } else {
        at -= 1;
        digits[at] = b'0' + rest as u8;
    }
    &digits[at..]
}

/// The two digits of a number below 100.
#[inline]
pub(crate) fn pair(number: u32) -> [u8; 2] {
    PAIRS[number as usize]
}

static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_those_of_the_standard_library_and_have_the_length_that_was_announced() {
        let powers = (0..20).map(|power| 10u64.pow(power)).flat_map(|power| [power - 1, power, power + 1]);
        for value in powers.chain([0, 7, 42, 12_345, u64::MAX]) {
            let mut place = [0; DECIMAL_LEN];
            let digits = decimal(value, &mut place);
            assert_eq!(digits, value.to_string().as_bytes());
            assert_eq!(digits.len(), decimal_len(value));
        }
    }
}

//! The registry: every scenario, in the order of the tables.

mod base64;
mod envelope;
mod payload;

use std::hint::black_box;

use crate::scenario::{Contestant, Scenario};

/// The sizes that the gate counts: instructions of larger ones are these in proportion.
const GATED: [&str; 3] = ["64B", "1KiB", "64KiB"];

/// All scenarios that this build has.
pub fn all() -> Vec<Scenario> {
    let mut all = base64::scenarios();
    all.extend(envelope::scenarios());
    all.extend(payload::scenarios());
    all
}

/// The ceiling: the raw bytes copied into a warm buffer.
fn memcpy(raw: Vec<u8>) -> Contestant {
    let expected = raw.clone();
    let copy = vec![0; raw.len()];
    Contestant::new(
        "memcpy",
        &expected,
        (raw, copy),
        |(raw, copy)| black_box(copy).copy_from_slice(black_box(raw)),
        |(_, copy)| copy.clone(),
    )
}

/// A copy that reads and writes as many bytes as base64 does for this payload: one byte for each byte and four for each
/// three, so 7/6 of the payload each way. No kernel can be expected below it; where it is far above [`memcpy`], that is
/// the caches of the machine.
fn same_traffic(raw: &[u8]) -> Contestant {
    let len = raw.len();
    let source: Vec<u8> = raw.iter().chain(raw).copied().take(len + len / 6).collect();
    let copy = vec![0; source.len()];
    Contestant::new(
        "memcpy-same-traffic",
        raw,
        (source, copy),
        |(source, copy)| black_box(copy).copy_from_slice(black_box(source)),
        move |(_, copy)| copy[..len].to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_contestant_of_the_small_scenarios_gives_the_right_answer() {
        let small: Vec<_> = all().into_iter().filter(|scenario| scenario.bytes <= 64 << 10).collect();
        assert!(small.len() > 30, "{} scenarios", small.len());
        for scenario in small {
            let contestants = scenario.checked(|_| true).unwrap();
            assert!(contestants.iter().any(Contestant::is_own), "{} is without the engine", scenario.name);
        }
    }

    #[test]
    fn names_are_unique_and_some_are_gated() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|scenario| &scenario.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().filter(|scenario| scenario.gated).count() > 20);
    }

    #[test]
    fn a_wrong_answer_is_named() {
        let wrong = Scenario::new("one/two".into(), 1, || {
            vec![Contestant::new("wrong", b"ab", (), |()| (), |()| b"aX".to_vec())]
        });
        let error = wrong.checked(|_| true).unwrap_err();
        assert_eq!(error, "one/two/wrong: 2 bytes instead of 2, different from byte 1 on");
    }
}

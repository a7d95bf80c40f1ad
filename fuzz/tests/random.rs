//! Every property under random bytes, without a fuzzer: a few hundred cases in an ordinary run, and as many as
//! `FUZZ_CASES` says (`FUZZ_CASES=10000 cargo test --release -p natsbridge-fuzz --test random`).

use natsbridge_fuzz::{run, targets};

/// SplitMix64: the same cases in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.next() % if self.next().is_multiple_of(4) { 1500 } else { 100 };
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// The bytes that failed, as they would be written into a seed.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{} fails for {hex}", self.0);
        }
    }
}

#[test]
fn every_property_holds_for_random_bytes() {
    let cases =
        std::env::var("FUZZ_CASES").map_or(300, |cases| cases.parse().expect("FUZZ_CASES is a number"));
    assert!(cases > 0);
    for (number, (target, _)) in targets().enumerate() {
        let mut random = Random(number as u64);
        for _ in 0..cases {
            let bytes = random.bytes();
            let shown = Shown(target, &bytes);
            run(target, &bytes);
            drop(shown);
        }
    }
}

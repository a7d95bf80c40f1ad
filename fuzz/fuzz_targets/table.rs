//! See `natsbridge_fuzz::targets`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natsbridge_fuzz::run("table", bytes));

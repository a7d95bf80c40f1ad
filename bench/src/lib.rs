//! Benchmarks of natsbridge beside its rivals: time, instructions, allocations, latency, and a gate for CI.
//!
//! ```text
//! cargo run --release -p natsbridge-bench -- ratios      the targets: met, missed, absent (about a minute)
//! cargo run --release -p natsbridge-bench -- wall encode every contestant of the scenarios with this in their name
//! cargo run --release -p natsbridge-bench -- help        the other commands
//! cargo bench -p natsbridge-bench --features plots       criterion, with plots in target/criterion/report
//! ./scripts/bench.sh                                     everything, as a page: target/bench-report/index.html
//! ./scripts/bench-gate.sh [BASE]                         has the engine become slower? (instructions, allocations)
//! ```
//!
//! # Scenarios
//!
//! A [`Scenario`](scenario::Scenario) is a task on one input, such as `envelope/encode/binary/64KiB`. Its contestants
//! are the engine and its rivals, and each one's answer is checked before anything is measured. [`scenarios::all`] is
//! the one list of them; every way of measuring goes through it. What calls the engine is in [`engine`], one small file.
//!
//! # Ways of measuring, never mixed in one table
//!
//! | command | unit | repeats |
//! |---|---|---|
//! | `wall`, `ratios` | thread CPU time; contestants take turns inside each round, medians | to a few percent |
//! | `icount` | instructions, counted by callgrind, each row in a process of its own | exactly |
//! | `alloc` | calls of the allocator and bytes, by a program whose allocator counts | exactly |
//! | `latency` | wall clock, open loop, from when a request was due | as the machine does |
//!
//! valgrind shows a program a CPU with AVX2 at most. So instruction counts speak of the AVX2, portable and scalar tiers;
//! AVX-512 is judged by time alone, and a test of the engine holds it to a factor.
//!
//! A program has one allocator, so there are three: `natsbridge-bench` with the system's, `natsbridge-bench-mimalloc`,
//! and `natsbridge-bench-counted`. The first asks the others where it needs them, and builds them if it was itself
//! started by `cargo run`.
//!
//! # The targets
//!
//! `ratios --json` prints one line for each, `{"name","value","target","better","met","tier"}`; a rival that is not on
//! the machine has the value `null`, `"met":false`, and `"absent"` says why. The names are stable:
//!
//! | name | value |
//! |---|---|
//! | `encode/SIZE/vs-memcpy`, `decode/SIZE/vs-memcpy` | a whole message's time as a multiple of copying its payload |
//! | `encode/SIZE/vs-naive`, `decode/SIZE/vs-naive` | serde_json and the `base64` crate's time as a multiple of ours |
//! | `decode-any-order/64B/vs-naive` | the same with the keys in another order |
//! | `encode-fresh/64B/vs-naive` | the same with ids and the time made for each message |
//! | `base64-encode/SIZE/vs-base64-simd`, `base64-decode/…` | base64-simd's time as a multiple of our tier's |
//! | `encode/SIZE/vs-node`, `…/vs-python`, `decode/…` | their codecs' CPU time as a multiple of ours |
//! | `allocations/encode/SIZE`, `allocations/scan/COUNT` | allocations for one message, buffers warm |
//! | `nats-rate/SIZE/vs-raw` | messages a second through NATS, as a part of what raw async-nats moves |
//! | `nats-added-cpu/SIZE/vs-raw` | CPU time beyond that of raw async-nats, as a part of it |
//! | `link-upload/64MiB/vs-hyper`, `…/vs-curl`, `…/vs-object-store` | their time for the same file as a multiple of ours |
//! | `link-upload/64MiB/memory-growth-mb` | by how much the process grows |
//!
//! With `NATSBRIDGE_BASE64_TIER=avx2` the values are those of that tier, and so are the targets.
//!
//! # The gate
//!
//! `scripts/bench-gate.sh` counts a small part of the scenarios and compares with `bench/records/gate.json`, or with any
//! git revision. It fails where instructions grew by more than 2 %, where something allocates that did not, and where
//! nothing was compared; see [`compare`](mod@compare). After an intended change, `bench-gate.sh --record` writes the
//! record anew, and the commit shows by how much. Counts depend on the compiler, the C library, valgrind and the kind
//! of CPU, so a record names them; where they differ, the gate builds the commit that last changed the record and
//! compares with that.

#![expect(
    clippy::missing_panics_doc,
    reason = "a benchmark stops where its own input is not what it made; answers are compared before that"
)]

pub mod cli;
pub mod compare;
pub mod engine;
pub mod input;
#[cfg(feature = "links")]
pub mod links;
pub mod machine;
pub mod measure;
#[cfg(feature = "nats")]
pub mod nats;
pub mod ratios;
pub mod record;
pub mod report;
pub mod rival;
pub mod scenario;
pub mod scenarios;
pub mod sibling;
pub mod trackers;

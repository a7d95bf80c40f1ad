//! Benchmarks of natsbridge beside its rivals: time, instructions, allocations, latency, and a gate for CI.
//!
//! ```text
//! cargo run --release -p natsbridge-bench -- ratios      the targets: met, missed, absent (about four minutes)
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
//! | `nats-added-cpu/SIZE/vs-raw` | CPU time beyond that of raw async-nats, as a part of it; `678B` is the message of 64 B, which has 649 by now |
//! | `link-upload/64MiB/vs-hyper`, `…/vs-curl`, `…/vs-object-store` | their time for the same file as a multiple of ours |
//! | `link-download/64MiB/vs-hyper`, `…/vs-curl`, `…/vs-object-store` | the same from the server into a new file |
//! | `link-upload/64MiB/memory-growth-mb` | by how much the process grows |
//!
//! With `NATSBRIDGE_BASE64_TIER=avx2` the values are those of that tier, and so are the targets.
//!
//! # The targets that are missed, and where the time goes
//!
//! Figures are of a Sapphire Rapids (L1 48 KiB, L2 2 MiB, AVX-512 VBMI, two virtual CPUs) with nothing else running. The
//! targets were set on a machine whose caches differ.
//!
//! Base64 moves 7/6 of the bytes that a copy of the payload moves: one read for one written, but four thirds as many on
//! one side. The row `memcpy-same-traffic` is a copy of just as many bytes, in the same run, and no kernel can be
//! expected below it:
//!
//! ```text
//! cargo run --release -p natsbridge-bench -- wall encode/binary/16KiB binary/64KiB binary/512KiB binary/1MiB base64/
//! ```
//!
//! | multiples of `memcpy` of the payload | 16 KiB | 64 KiB | 512 KiB | 1 MiB | 16 MiB |
//! |---|---|---|---|---|---|
//! | a copy of the bytes that base64 moves | 0.9 to 1.3 | 1.20 to 1.23 | 1.23 to 1.26 | 1.5 to 1.8 | 1.17 |
//! | our encoder alone (base64-turbo's) | 2.4 (2.6) | | | 1.5 (1.8 to 1.9) | |
//! | our decoder alone (base64-turbo's) | | 1.3 (1.3) | 1.34 (1.45) | 1.6 (1.85) | |
//! | whole messages: encode, decode | 3.4, | 1.3, 1.6 to 1.8 | 1.3, 1.4 | 1.6 to 1.8, 1.5 to 2.1 | 1.1, 1.1 |
//!
//! | target | measured | where the time goes |
//! |---|---|---|
//! | `encode/64KiB/vs-memcpy` | 1.29 to 1.353, at 1.35 | On the edge: the kernel alone takes as long as a copy of the bytes that it moves. |
//! | `encode/16KiB/vs-memcpy` | 3.3 to 3.6, not 2.6 | The kernel alone takes 2.4 (500 to 520 of 665 to 735 ns), and issues 2,737 instructions of the 3,724. The rest is the message around it: 150 ns and 990 instructions, as at 64 B. |
//! | `encode/1MiB/vs-memcpy` | 1.6 to 1.8, not 1.35 | A copy of as many bytes takes 1.5: 2.4 MB are beyond the L2 cache, the payload's copy of 2.0 MB is not. The kernel alone takes 1.5. `encode/1MiB/vs-naive`, `…/vs-node` and `base64-…/1MiB/vs-base64-simd` are short by the same. |
//! | `decode/64KiB/vs-memcpy` | 1.6 to 1.8, not 1.45 | A copy of as many bytes takes 1.2, the kernel alone 1.3, as base64-turbo's does; the envelope takes 300 ns, which is 0.12. |
//! | `decode/512KiB/vs-memcpy`, `decode/1MiB/…` | 1.4 and 1.5 to 2.1, not 1.2 | A copy of as many bytes takes 1.25 and 1.5, so the target is beyond this machine's memory; the kernels alone take 1.34 and 1.6. |
//! | `decode/1MiB/vs-naive`, `…/vs-node`; `encode/1MiB/vs-node` | 16 to 18, not 30; 36 to 39, not 45; 72, not 90 | The time is our decoder's and encoder's, as above: at this size they are as fast as a copy of as many bytes, which the others are far from. |
//! | `decode/16KiB/vs-naive`, `…/64KiB/…`, `…/512KiB/…` | 20 to 23, 27 to 30, 26 to 34, for 20, 30 and 30 | On the edge: naive code decodes 0.46 to 0.51 GB/s whatever the size; ours 12, 16 and 18, which the rows about `memcpy` explain. |
//! | `decode/64KiB/vs-node` | 25, not 45 | Node's own best size: 0.59 GB/s, and 0.27 at 512 KiB; ours 16 and 18. |
//! | `decode/64B/vs-naive`, `decode/1KiB/vs-naive` | 8.2 to 8.5 and 10.6 to 12.2, for 9 and 12 | About 2,100 instructions at 64 B with AVX-512, of which 1,290 read the envelope strictly, 490 are base64 and the way to it, and 150 move the finished [`Envelope`](natsbridge::Envelope) twice: room for eight payloads without an allocation makes it a kilobyte, and the moves take a seventh of the time (`perf record -e cpu-clock`). |
//! | `decode-any-order/64B/vs-naive` | 3.4 to 3.7, not 4 | Every key is looked up: about 170 instructions for each of 22 pairs. |
//! | `nats-rate/…`, `nats-added-cpu/…` | | By function in `bench/NATS.md`. |
//! | `link-upload/64MiB/vs-object-store` | 1.2 to 1.3, not 2 | The file server takes the time, whose reply names the file's MD5, as Plik's does: two thirds of its samples (`perf record -p` of `serve-files`), 180 to 190 of 240 to 260 ms. Bare hyper is no faster against it. |
//! | `link-download/64MiB/vs-hyper` | 0.88 to 0.93, not 0.95 | The engine computes the SHA-256 on the thread that receives, bare hyper on the one that writes. |
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

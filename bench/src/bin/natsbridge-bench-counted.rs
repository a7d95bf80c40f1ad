//! The benchmark program, with the system's allocator counted. Its times mean nothing.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> std::process::ExitCode {
    natsbridge_bench::cli::main("system, counted", Some(&INSTRUMENTED_SYSTEM))
}

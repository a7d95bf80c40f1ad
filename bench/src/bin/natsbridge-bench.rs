//! The benchmark program, with the system's allocator.

fn main() -> std::process::ExitCode {
    natsbridge_bench::cli::main("system", None)
}

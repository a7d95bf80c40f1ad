//! The benchmark program, with mimalloc.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    natsbridge_bench::cli::main("mimalloc", None)
}

//! The `mlpc` program: see `mlpc --help`.

#![forbid(unsafe_code)]

mod cli;

/// Reading and encoding free and take memory by the block. An allocator that gives
/// it back to the system each time spends a third of the first read on page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

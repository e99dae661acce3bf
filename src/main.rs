//! The `mlpc` program: see `mlpc --help`.

#![forbid(unsafe_code)]

mod cli;

/// Reading and encoding free and take memory by the block. An allocator that gives
/// it back to the system each time spends a third of the first read on page faults.
/// (Without large pages of its own, the feature `no_thp`: columns ask for theirs, and a
/// small table would wait for twenty that it does not fill.)
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}

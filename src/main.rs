//! The `mlpc` program.

fn main() {}

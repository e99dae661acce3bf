//! mlpc, the MLP compiler.

pub mod check;
pub mod diag;

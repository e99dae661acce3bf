//! mlpc, the MLP compiler.

pub mod check;
pub mod data;
pub mod diag;
pub mod file;

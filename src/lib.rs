//! mlpc, the MLP compiler.

#![forbid(unsafe_code)]

pub mod check;
pub mod data;
pub mod diag;
pub mod exec;
pub mod file;
pub mod ir;
pub mod plan;
pub mod train;

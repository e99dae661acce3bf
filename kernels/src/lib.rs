//! The kernels of `mlpc`: activations, losses, optimizers and matrix products
//! over f32 slices, written once and compiled for every instruction set.
//!
//! This crate knows nothing of the language, of plans or of files, and it
//! holds all of the project's `unsafe`. Its layers:
//!
//! - [`simd`]: one small trait over a vector register, implemented by `wide`
//!   (portable), AVX2+FMA and AVX-512. [`simd::Isa`] is chosen at run time;
//!   a token that only detection hands out proves that the CPU has the
//!   instructions.
//! - [`unary`], [`loss`], [`optim`]: a family a folder, an operation a file.
//!   A file holds the operation, its derivative, its f64 oracle and its error
//!   bound; the family's one list makes it known to everybody else.
//! - [`gemm`]: the three matrix products of a dense layer; [`gather`]: what
//!   takes their place where inputs are categories.
//! - [`bytes`], [`quotes`], [`numbers`], [`texts`], [`columns`], [`map`], [`rooms`]:
//!   finding the delimiters of a text, reading its numbers, telling its words apart;
//!   statistics and scaling of columns; memory for what is read.
//! - [`single`], [`small`]: whole networks in one call, for single rows and for
//!   networks of a few neurons.
//! - [`table`]: every operation under every instruction set, with its oracle
//!   and inputs: what tests, benches and `mlpc bench --kernels` loop over.
//! - [`team`]: threads that share a step of some microseconds.
//! - [`peak`]: what the CPU could do at most, for comparison.
//!
//! # Layout
//!
//! A tile of a batch is *feature-major*: `[feature][row]`, with rows of the
//! batch next to each other, so that vectors run along the batch. Weights are
//! `[out][in]`, row-major, as PyTorch has them.

pub mod bytes;
pub mod columns;
mod compiled;
pub mod gather;
pub mod gemm;
pub mod hyper;
pub mod layout;
pub mod lines;
pub mod loss;
pub mod map;
pub mod numbers;
pub mod optim;
pub mod peak;
pub mod quotes;
pub mod rooms;
pub mod simd;
pub mod single;
pub mod small;
pub mod table;
pub mod team;
pub mod texts;
pub mod unary;

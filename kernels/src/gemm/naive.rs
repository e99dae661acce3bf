//! The definition of the product, in f64: the oracle of the others.

use super::{Gemm, Start};

pub(super) fn run(g: Gemm<'_>) {
    for i in 0..g.m {
        for j in 0..g.n {
            let mut sum = match g.start {
                Start::Zero => 0.0,
                Start::C => f64::from(g.c[i * g.c_stride + j]),
                Start::Bias(bias) => f64::from(bias[i]),
            };
            for l in 0..g.k {
                let a = g.a.data[i * g.a.row_stride + l * g.a.column_stride];
                sum += f64::from(a) * f64::from(g.b[l * g.b_stride + j]);
            }
            g.c[i * g.c_stride + j] = sum as f32;
        }
    }
}

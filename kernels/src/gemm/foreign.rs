//! The product by the matrixmultiply crate, which detects the CPU itself.

use super::{Gemm, Start};

pub(super) fn run(g: Gemm<'_>) {
    let (m, n, k) = (g.m, g.n, g.k);
    let beta = match g.start {
        Start::Zero => 0.0,
        Start::C => 1.0,
        Start::Bias(bias) => {
            for (row, &b) in g.c.chunks_mut(g.c_stride).zip(bias).take(m) {
                row[..n].fill(b);
            }
            1.0
        }
    };
    // SAFETY: Gemm::check has proved that every element that m, n, k and the
    // strides name lies within its slice; C is borrowed mutably and its rows
    // do not overlap, since c_stride ≥ n. Strides that index a slice fit isize.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            g.a.data.as_ptr(),
            g.a.row_stride as isize,
            g.a.column_stride as isize,
            g.b.as_ptr(),
            g.b_stride as isize,
            1,
            beta,
            g.c.as_mut_ptr(),
            g.c_stride as isize,
            1,
        );
    }
}

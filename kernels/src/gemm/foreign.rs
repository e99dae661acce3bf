//! The product by the matrixmultiply crate, which detects the CPU itself.

use super::{Gemm, Layout, Left, Right, Start};

pub(super) fn run(g: &mut Gemm<'_>) {
    assert!(g.in_one_piece(), "operands in panels");
    let (m, n, k) = (g.m, g.n, g.k);
    let (a, a_row, a_column) = match g.a {
        Left::Strided { data, row_stride, column_stride } => (data, row_stride, column_stride),
        Left::Tile { data, tile, first, .. } => (&data[first * tile.width..], tile.width, 1),
    };
    let (b, b_row, b_column) = match g.b {
        Right::Rows { data, stride } => (data, stride, 1),
        Right::Panels { data, .. } => (data, n, 1),
        Right::Blocks { .. } | Right::Picked(_) | Right::PickedColumns(_) => {
            unreachable!("they are not in one piece")
        }
        Right::Tile { data, tile, first, .. } => (&data[first * tile.width..], 1, tile.width),
    };
    let stride = match g.layout {
        Layout::Rows(stride) => stride,
        Layout::Panels(_) => n,
    };
    let beta = match g.start {
        Start::Zero => 0.0,
        Start::C => 1.0,
        Start::Bias(bias) => {
            for (row, &b) in g.c.chunks_mut(stride).zip(bias).take(m) {
                row[..n].fill(b);
            }
            1.0
        }
        Start::BiasOfColumns(bias) => {
            for row in g.c.chunks_mut(stride).take(m) {
                row[..n].copy_from_slice(&bias[..n]);
            }
            1.0
        }
    };
    // SAFETY: Gemm::check has proved that every element that m, n, k and the
    // layouts name lies within its slice, and each is one piece, so that two
    // strides name the same elements; C is borrowed mutably and its rows do
    // not overlap, since the stride is at least n. Strides that index a slice
    // fit isize.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            a_row as isize,
            a_column as isize,
            b.as_ptr(),
            b_row as isize,
            b_column as isize,
            beta,
            g.c.as_mut_ptr(),
            stride as isize,
            1,
        );
    }
}

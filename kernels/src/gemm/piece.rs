//! A product in pieces, which several threads compute at the same time: some
//! rows of C each.

use super::tiled::Tiled;
use super::{Algorithm, Gemm, Left, Start};
use crate::simd::Isa;

/// Some rows of a product by [`Algorithm::Tiled`]. They are the same bits as in
/// the whole.
#[derive(Debug)]
pub struct Piece<'a> {
    /// The rows, but for C.
    gemm: Gemm<'a>,
    /// From the exclusive borrow of the whole C.
    c: *mut f32,
    /// Rows of the whole C, and the first that is computed.
    rows_of_c: usize,
    first: usize,
}

// SAFETY: but for the pointer to C it is Send. No two pieces of a product have
// a row in common (`halves` cuts them apart, and a piece can't be copied), and
// C is borrowed exclusively while there are pieces.
unsafe impl Send for Piece<'_> {}

/// Rows of which a piece has a multiple, but for the last: whole register tiles,
/// of 6 or 12 rows. It is more than one, and so no piece is summed in
/// [chains](super::lone) that the whole is not.
const ROWS: usize = 12;

impl<'a> Piece<'a> {
    /// The whole product, as one piece; or the product, where it is none that
    /// has pieces: where the algorithm does not take it, A does not lie by
    /// strides, or there are too few rows.
    ///
    /// # Panics
    /// Where a slice is too short for its shape, or a stride for its row.
    pub fn of(mut gemm: Gemm<'a>) -> Result<Self, Gemm<'a>> {
        let strided = matches!(gemm.a, Left::Strided { .. });
        if !strided || gemm.m < 2 * ROWS || gemm.n == 0 || !Algorithm::Tiled.takes(&gemm) {
            return Err(gemm);
        }
        gemm.check();
        let c = std::mem::take(&mut gemm.c).as_mut_ptr();
        Ok(Piece { c, rows_of_c: gemm.m, first: 0, gemm })
    }

    /// Its floating-point operations.
    pub fn flops(&self) -> f64 {
        self.gemm.flops()
    }

    /// It in two, where it has rows enough.
    pub fn halves(self) -> Result<[Self; 2], Self> {
        if self.gemm.m < 2 * ROWS {
            return Err(self);
        }
        let Piece { gemm, c, rows_of_c, first } = self;
        let Left::Strided { data, row_stride, column_stride } = gemm.a else {
            unreachable!("Piece::of refuses it")
        };
        let rows = (gemm.m / 2).next_multiple_of(ROWS);
        let second = Gemm {
            m: gemm.m - rows,
            a: Left::Strided { data: &data[rows * row_stride..], row_stride, column_stride },
            start: match gemm.start {
                Start::Bias(bias) => Start::Bias(&bias[rows..]),
                start => start,
            },
            c: &mut [],
            ..gemm
        };
        let piece = |gemm, first| Piece { gemm, c, rows_of_c, first };
        Ok([piece(Gemm { m: rows, ..gemm }, first), piece(second, first + rows)])
    }

    /// Computes it.
    pub fn run(self, isa: Isa) {
        let Piece { ref gemm, c, rows_of_c, first } = self;
        isa.run(Tiled { gemm, c, rows_of_c, first });
    }
}

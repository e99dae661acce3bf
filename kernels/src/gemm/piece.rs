//! A product in pieces, which several threads compute at the same time: some
//! rows of C each.

use super::tiled::Tiled;
use super::{Algorithm, Gemm, Left, Right, Start};
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
// a row in common (`cut` cuts them apart, and a piece can't be copied), and
// C is borrowed exclusively while there are pieces.
unsafe impl Send for Piece<'_> {}

/// Rows of a piece at the least: a register tile's, of 6 or 12. They are more than
/// one, and so no piece is summed in [chains](super::lone) that the whole is not.
const ROWS: usize = 12;

/// The rows of `part` of `parts` of so many, which are at least twice [`ROWS`]: whole
/// register tiles where there are many rows. Few are cut evenly: a register tile
/// more on one side would be a large part of it.
fn rows_of_part(rows: usize, [part, parts]: [usize; 2]) -> usize {
    let share = (rows * part).div_ceil(parts);
    let share = if rows >= 16 * ROWS { share.next_multiple_of(ROWS) } else { share };
    share.clamp(ROWS, rows - ROWS)
}

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

    /// The product, but for where C lies.
    pub fn gemm(&self) -> &Gemm<'a> {
        &self.gemm
    }

    /// It in two, where it has rows enough: `part` of `parts` of it, and the rest.
    ///
    /// # Panics
    /// Where the parts are none.
    pub fn cut(self, [part, parts]: [usize; 2]) -> Result<[Self; 2], Self> {
        if self.gemm.m < 2 * ROWS {
            return Err(self);
        }
        let Piece { gemm, c, rows_of_c, first } = self;
        let Left::Strided { data, row_stride, column_stride } = gemm.a else {
            unreachable!("Piece::of refuses it")
        };
        let rows = rows_of_part(gemm.m, [part, parts]);
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

    /// The same with what lies elsewhere for the elements of B.
    ///
    /// # Panics
    /// Where they are fewer.
    pub fn reading<'b>(self, elements: &'b [f32]) -> Piece<'b>
    where
        'a: 'b,
    {
        let Piece { gemm, c, rows_of_c, first } = self;
        let b = match gemm.b {
            Right::Rows { data, stride } => Right::Rows { data: &elements[..data.len()], stride },
            Right::Panels { data, panel } => Right::Panels { data: &elements[..data.len()], panel },
            _ => unreachable!("Piece::of refuses it"),
        };
        Piece { gemm: Gemm { b, ..gemm }, c, rows_of_c, first }
    }

    /// Computes it.
    pub fn run(self, isa: Isa) {
        let Piece { ref gemm, c, rows_of_c, first } = self;
        isa.run(Tiled { gemm, c, rows_of_c, first });
    }
}

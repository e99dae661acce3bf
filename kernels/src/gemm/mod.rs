//! The three matrix products of a dense layer.
//!
//! All of them are one operation, C ← A·B (+ bias, or + C), where the rows of
//! B and C are contiguous and A is read one number at a time with any
//! strides. With W `[out, in]` and feature-major tiles `[feature][width]`:
//!
//! | product | C | A | B |
//! | --- | --- | --- | --- |
//! | forward | z `[out][width]` | W | x `[in][width]` |
//! | input gradient | dx `[in][width]` | Wᵀ, by strides | dz `[out][width]` |
//! | weight gradient | dW `[out][in]` | dz `[out][width]` | x, row-major `[width][in]` |
//!
//! so that no weights are packed or transposed. Every algorithm of
//! [`Algorithm`] computes the same; the plan chooses by shape.

mod foreign;
mod naive;
mod tiled;

use crate::simd::Isa;

/// A matrix that is read one number at a time.
#[derive(Debug, Clone, Copy)]
pub struct Strided<'a> {
    /// Its elements.
    pub data: &'a [f32],
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub column_stride: usize,
}

/// A matrix product C ← A·B + start: shapes `[m][k]`, `[k][n]`, `[m][n]`.
#[derive(Debug)]
pub struct Gemm<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// A.
    pub a: Strided<'a>,
    /// B, rows contiguous.
    pub b: &'a [f32],
    /// From one row of B to the next, at least n.
    pub b_stride: usize,
    /// C, rows contiguous.
    pub c: &'a mut [f32],
    /// From one row of C to the next, at least n.
    pub c_stride: usize,
    /// What the product is added to.
    pub start: Start<'a>,
}

/// What a product is added to.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Nothing.
    Zero,
    /// C as it is.
    C,
    /// A number a row of C.
    Bias(&'a [f32]),
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Three loops in f64: the oracle.
    Naive,
    /// Register tiles over the operands as they lie: for what fits the cache.
    Tiled,
    /// The matrixmultiply crate: packs its operands (and allocates the
    /// packing buffer at every call), for large products.
    Matrixmultiply,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 3] = [Algorithm::Naive, Algorithm::Tiled, Algorithm::Matrixmultiply];

    /// Its name in plans and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Naive => "naive",
            Algorithm::Tiled => "tiled",
            Algorithm::Matrixmultiply => "matrixmultiply",
        }
    }
}

impl Gemm<'_> {
    /// Computes the product.
    ///
    /// # Panics
    /// Where a slice is too short for its shape, or a stride for its row.
    pub fn run(self, algorithm: Algorithm, isa: Isa) {
        self.check();
        if self.m == 0 || self.n == 0 {
            return;
        }
        match algorithm {
            Algorithm::Naive => naive::run(self),
            Algorithm::Tiled => isa.run(tiled::Tiled(self)),
            Algorithm::Matrixmultiply => foreign::run(self),
        }
    }

    /// What the unsafe kernels rely on: every element that a shape and its
    /// strides name lies within its slice.
    fn check(&self) {
        let (m, n, k) = (self.m, self.n, self.k);
        let spans = |rows: usize, row_stride: usize, columns: usize, column_stride: usize| {
            if rows == 0 || columns == 0 {
                return 0;
            }
            let last =
                (rows - 1).checked_mul(row_stride).zip((columns - 1).checked_mul(column_stride));
            last.and_then(|(r, c)| r.checked_add(c)?.checked_add(1)).expect("a shape within memory")
        };
        assert!(self.b_stride >= n && self.c_stride >= n, "a row longer than its stride");
        assert!(
            self.a.data.len() >= spans(m, self.a.row_stride, k, self.a.column_stride),
            "A is short"
        );
        assert!(self.b.len() >= spans(k, self.b_stride, n, 1), "B is short");
        assert!(self.c.len() >= spans(m, self.c_stride, n, 1), "C is short");
        if let Start::Bias(bias) = self.start {
            assert!(bias.len() >= m, "the bias is short");
        }
    }
}

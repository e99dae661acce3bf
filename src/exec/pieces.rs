//! Products of a tile that several threads compute, some outputs each.

use mlpc_kernels::gemm::{Algorithm, Gemm, Piece};
use mlpc_kernels::simd::Isa;

/// Operations of a piece of a product at the least: some 10 µs, of which handing
/// it over takes one.
const PIECE_FLOPS: f64 = 1.0e6;

/// Computes a product, where it is `shared` in pieces, for other threads to take
/// some of them.
#[inline(always)]
pub(super) fn product(gemm: Gemm<'_>, algorithm: Algorithm, isa: Isa, shared: bool) {
    if !shared || algorithm != Algorithm::Tiled || gemm.flops() < 2.0 * PIECE_FLOPS {
        return gemm.run(algorithm, isa);
    }
    share(gemm, isa);
}

#[inline(never)]
fn share(gemm: Gemm<'_>, isa: Isa) {
    match Piece::of(gemm) {
        Ok(piece) => in_pieces(piece, isa),
        Err(gemm) => gemm.run(Algorithm::Tiled, isa),
    }
}

fn in_pieces(piece: Piece<'_>, isa: Isa) {
    if piece.flops() < 2.0 * PIECE_FLOPS {
        return piece.run(isa);
    }
    match piece.halves() {
        Ok([one, other]) => {
            rayon::join(|| in_pieces(one, isa), || in_pieces(other, isa));
        }
        Err(piece) => piece.run(isa),
    }
}

//! Products of a tile that several threads compute, some outputs each.

use super::fork::Threads;
use crate::plan::BufferId;
use mlpc_kernels::gemm::{Algorithm, Gemm, Piece};
use mlpc_kernels::simd::Isa;

/// Operations of a piece of a product at the least, on the threads of a pool: some
/// 10 µs, of which handing it over takes one.
const PIECE_FLOPS: f64 = 1.0e6;

/// The same on a team: 0.5 µs.
const PIECE_FLOPS_OF_TEAM: f64 = 0.05e6;

/// Whether it pays to cut so many operations in two.
pub(super) fn pays(threads: &Threads<'_>, flops: f64) -> bool {
    match threads {
        Threads::One => false,
        Threads::Pool => flops >= 2.0 * PIECE_FLOPS,
        Threads::Team(..) => threads.are_team() && flops >= 2.0 * PIECE_FLOPS_OF_TEAM,
    }
}

/// Who computes a product.
pub(super) struct By<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) threads: Threads<'a>,
}

/// Computes a product with the tile `b` on its right, in pieces where that pays.
#[inline(always)]
pub(super) fn product(gemm: Gemm<'_>, b: BufferId, isa: Isa, by: By<'_>) {
    let By { algorithm, threads } = by;
    if algorithm != Algorithm::Tiled || !pays(&threads, gemm.flops()) {
        return gemm.run(algorithm, isa);
    }
    share(gemm, b, isa, threads);
}

#[inline(never)]
fn share(gemm: Gemm<'_>, b: BufferId, isa: Isa, threads: Threads<'_>) {
    match Piece::of(gemm) {
        Ok(piece) => in_pieces(piece, b, isa, threads),
        Err(gemm) => gemm.run(Algorithm::Tiled, isa),
    }
}

fn in_pieces(piece: Piece<'_>, b: BufferId, isa: Isa, threads: Threads<'_>) {
    let piece = match pays(&threads, piece.flops()) {
        true => piece.cut(threads.first_half()),
        false => Err(piece),
    };
    match piece {
        Ok([one, other]) => threads.join(
            |threads| in_pieces(one, b, isa, threads),
            |threads| in_pieces(other, b, isa, threads),
        ),
        Err(piece) => match threads.inputs().as_ref().and_then(|inputs| inputs.get(b)) {
            Some(own) => piece.reading(own).run(isa),
            None => piece.run(isa),
        },
    }
}

//! Products of a tile that several threads compute, some outputs each.

use super::fork::Threads;
use mlpc_kernels::gemm::{Algorithm, Gemm, Piece};
use mlpc_kernels::simd::Isa;
use std::ops::Range;

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
    /// Where the tile on its right lies, where each thread has it in its own arena.
    pub(super) own: Option<Range<usize>>,
}

/// Computes a product, in pieces where that pays.
#[inline(always)]
pub(super) fn product(gemm: &mut Gemm<'_>, isa: Isa, by: By<'_>) {
    if by.algorithm != Algorithm::Tiled || !pays(&by.threads, gemm.flops() + outputs(gemm)) {
        return gemm.run(by.algorithm, isa);
    }
    share(gemm, isa, by);
}

/// Writing an output takes as long as some operations.
fn outputs(gemm: &Gemm<'_>) -> f64 {
    16.0 * gemm.m as f64 * gemm.n as f64
}

#[inline(never)]
fn share(gemm: &mut Gemm<'_>, isa: Isa, by: By<'_>) {
    match Piece::of(Gemm { c: std::mem::take(&mut gemm.c), ..*gemm }) {
        Ok(piece) => in_pieces(piece, isa, by.threads, &by.own),
        Err(mut gemm) => gemm.run(Algorithm::Tiled, isa),
    }
}

fn in_pieces(piece: Piece<'_>, isa: Isa, threads: Threads<'_>, own: &Option<Range<usize>>) {
    let piece = match pays(&threads, piece.gemm().flops() + outputs(piece.gemm())) {
        true => piece.cut(threads.first_half()),
        false => Err(piece),
    };
    match piece {
        Ok([one, other]) => threads.join(
            |threads| in_pieces(one, isa, threads, own),
            |threads| in_pieces(other, isa, threads, own),
        ),
        Err(piece) => match (own, threads.arena()) {
            (Some(own), Some(arena)) => piece.reading(&arena[own.clone()]).run(isa),
            _ => piece.run(isa),
        },
    }
}

//! A product in pieces is the product: the same bits.

mod common;

use common::noise;
use mlpc_kernels::gemm::{self, Algorithm, End, Gemm, Piece, Slope, Start};
use mlpc_kernels::layout::Tile;
use mlpc_kernels::simd::Isa;

/// Computes two thirds and the rest, as long as there are any, the rest from a copy
/// of B; returns how many pieces.
fn in_pieces<'a>(piece: Piece<'a>, copy: &'a [f32], isa: Isa) -> usize {
    match piece.cut([2, 3]) {
        Ok([most, rest]) => in_pieces(most, copy, isa) + in_pieces(rest.reading(copy), copy, isa),
        Err(piece) => {
            piece.run(isa);
            1
        }
    }
}

#[test]
fn pieces_give_the_same_bits() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let panel = gemm::panel(isa);
        for (outputs, inputs) in [(1, 40), (24, 7), (25, 784), (49, 50), (130, 65), (400, 3)] {
            for width in [isa.lanes(), panel, panel + isa.lanes(), 5 * panel] {
                let tile = Tile { width, rows: width, panel };
                let weights = noise(3, outputs * inputs);
                let (x, bias) = (noise(3, inputs * width), noise(3, outputs));
                let (dz, y) = (noise(3, outputs * width), noise(3, inputs * width));
                let forward = |z: &mut [f32], start: Start<'_>, whole: bool| {
                    let shape = [outputs, inputs];
                    let end = End::Rectifier { leak: 0.0 };
                    let gemm = Gemm::forward(tile, shape, &weights, None, &x, z);
                    run(Gemm { start, end, ..gemm }, &x.clone(), isa, whole)
                };
                let backward = |dx: &mut [f32], whole: bool| {
                    let end = End::Slope { slope: Slope::Kept, y: &y };
                    let gemm = Gemm::input_gradient(tile, [outputs, inputs], &weights, &dz, dx);
                    run(Gemm { end, ..gemm }, &dz.clone(), isa, whole)
                };
                let shape = format!("{isa} {outputs} x {inputs}, {width} lanes");
                for start in [Start::Bias(&bias), Start::C, Start::Zero] {
                    let (mut z, mut of_pieces) = (dz.clone(), dz.clone());
                    forward(&mut z, start, true);
                    let pieces = forward(&mut of_pieces, start, false);
                    assert_eq!(pieces > 1, outputs >= 24, "{shape}");
                    assert!(bits(&z) == bits(&of_pieces), "forward, {shape}");
                }
                let (mut dx, mut of_pieces) = (vec![0.0; y.len()], vec![f32::NAN; y.len()]);
                backward(&mut dx, true);
                let pieces = backward(&mut of_pieces, false);
                assert_eq!(pieces > 1, inputs >= 24, "{shape}");
                assert!(bits(&dx) == bits(&of_pieces), "input gradient, {shape}");
            }
        }
    }
}

fn run(gemm: Gemm<'_>, copy: &[f32], isa: Isa, whole: bool) -> usize {
    match Piece::of(gemm) {
        Ok(piece) if !whole => return in_pieces(piece, copy, isa),
        Ok(piece) => piece.run(isa),
        Err(mut gemm) => gemm.run(Algorithm::Tiled, isa),
    }
    1
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

//! Which weight gradients read rows in panels, and which are scalar products.
//!
//! Register tiles take whole vectors of inputs, and rows that have to be packed for
//! them; scalar products of the two tiles take the inputs as they are, but add up the
//! lanes of each sum. Which is faster depends on the layer's shape and on how many
//! rows the lanes are added up for: many rows favour scalar products, many outputs
//! and inputs that fill their vectors register tiles.

use mlpc_kernels::gemm;
use mlpc_kernels::simd::Isa;

/// What the two ways take, in the time that scalar products take for a multiply-add
/// of a vector: fitted to times of both kernels and of the packing on Zen 4, with 16 to
/// 256 rows, 4 to 64 inputs and 8 to 128 outputs.
struct Costs {
    /// To add up the lanes of a sum, in rows.
    sum: f64,
    /// A column of a register tile: of whole vectors, of one vector alone, and where
    /// of several the last one is not whole.
    whole: f64,
    lone: f64,
    masked: f64,
    /// To pack a row, and each of its elements.
    row: f64,
    element: f64,
}

fn costs(isa: Isa) -> Costs {
    match isa {
        Isa::Avx512 => {
            Costs { sum: 36.0, whole: 1.06, lone: 1.09, masked: 1.06, row: 75.0, element: 4.0 }
        }
        Isa::Avx2 => {
            Costs { sum: 21.0, whole: 0.86, lone: 1.38, masked: 0.98, row: 58.0, element: 3.0 }
        }
        _ => Costs { sum: 26.0, whole: 1.02, lone: 1.11, masked: 1.40, row: 25.0, element: 1.5 },
    }
}

/// Where packing pays for fewer rows alone, it is not considered: batches have as many.
const LEAST_ROWS: usize = 32;

/// No tile of such layers has as many rows.
const MOST_ROWS: usize = 512;

/// Inputs beyond which a block's features no longer lie side by side in the cache:
/// there scalar products pay for few outputs alone.
const MOST_INPUTS: usize = 64;
const FEW_OUTPUTS: usize = 10;

/// Rows of a tile up to which the weight gradient of such a layer reads rows in
/// panels: 0 where it never does, `usize::MAX` where it always does.
pub(super) fn most_rows(isa: Isa, inputs: usize, outputs: usize) -> usize {
    if inputs > MOST_INPUTS {
        return if outputs > FEW_OUTPUTS { usize::MAX } else { 0 };
    }
    let costs = costs(isa);
    let (lanes, panel) = (isa.lanes(), gemm::panel(isa));
    let rest = inputs % panel;
    let each = match rest.div_ceil(lanes) {
        1 => costs.lone,
        _ if !rest.is_multiple_of(lanes) => costs.masked,
        _ => costs.whole,
    };
    let columns = costs.whole * (inputs - rest) as f64 + each * rest.next_multiple_of(lanes) as f64;
    let (inputs, outputs) = (inputs as f64, outputs as f64);
    // A row more takes so much longer with register tiles: from some rows on that is
    // more than adding up the lanes of the sums.
    let slower = outputs * (columns - inputs) + costs.row + costs.element * inputs;
    if slower <= 0.0 {
        return usize::MAX;
    }
    match (inputs * outputs * costs.sum / slower) as usize {
        ..LEAST_ROWS => 0,
        most @ LEAST_ROWS..MOST_ROWS => most,
        MOST_ROWS.. => usize::MAX,
    }
}

/// Outputs of a first layer that reads rows as they lie, at the most; and its inputs:
/// as many as are summed in one part.
const MOST_OUTPUTS_OF_ROWS: usize = 16;
const LEAST_INPUTS_OF_ROWS: usize = 8;
const MOST_INPUTS_OF_ROWS: usize = gemm::PART;

/// Whether a first layer reads rows as they lie, forward and in its weight gradient: where
/// outputs are few, that takes up to 35% less time than it does from a tile, loading that
/// included (Zen 4, 32 to 256 rows). It takes the registers of AVX-512.
pub(super) fn as_they_lie(isa: Isa, inputs: usize, outputs: usize) -> bool {
    // One output is summed in chains.
    let fits = (2..=MOST_OUTPUTS_OF_ROWS.min(inputs)).contains(&outputs)
        && (LEAST_INPUTS_OF_ROWS..=MOST_INPUTS_OF_ROWS).contains(&inputs);
    isa == Isa::Avx512 && fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_some_inputs_are_read_as_they_lie_for_fewer_outputs() {
        let reads = |inputs, outputs| as_they_lie(Isa::Avx512, inputs, outputs);
        assert!(reads(8, 8) && reads(24, 2) && reads(384, 16));
        // Few inputs, one output, many, more than inputs, inputs in two parts.
        assert!(!reads(7, 4) && !reads(24, 1) && !reads(24, 17));
        assert!(!reads(13, 14) && !reads(385, 16));
        assert!(!as_they_lie(Isa::Avx2, 24, 8));
    }

    #[test]
    fn packing_pays_for_few_rows_and_full_vectors() {
        let rows = |inputs, outputs| most_rows(Isa::Avx512, inputs, outputs);
        // A vector of 16 of which 4 columns are used, or 13, or all of them.
        assert_eq!(rows(4, 64), 0);
        assert!((64..96).contains(&rows(13, 64)));
        assert!((128..256).contains(&rows(16, 64)));
        // Few outputs to pack for.
        assert!((32..64).contains(&rows(32, 8)));
        assert_eq!((rows(24, 8), rows(784, 2)), (0, 0));
        for isa in Isa::ALL {
            assert_eq!(most_rows(isa, 0, 8), 0);
            assert_eq!(most_rows(isa, 1024, 1024), usize::MAX);
        }
    }
}

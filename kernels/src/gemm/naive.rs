//! The definition of the product, in f64: the oracle of the others.

use super::{End, Gemm, Layout, Left, Right, Slope, Start, column};

pub(super) fn run(g: &mut Gemm<'_>) {
    let (m, n, k) = (g.m, g.n, g.k);
    let a = |i: usize, l: usize| match g.a {
        Left::Strided { data, row_stride, column_stride } => {
            data[i * row_stride + l * column_stride]
        }
        Left::Tile { data, tile, features, first } => data[tile.index(features, first + i, l)],
    };
    let b = |l: usize, j: usize| match g.b {
        Right::Rows { data, stride } => data[l * stride + j],
        Right::Panels { data, panel } => {
            let (start, stride) = column(Layout::Panels(panel), k, n, j);
            data[start + l * stride]
        }
        Right::Blocks { data, panel, rows, apart } => {
            let (start, stride) = column(Layout::Panels(panel), rows, n, j);
            data[l / rows * apart + start + l % rows * stride]
        }
        Right::Tile { data, tile, features, first } => data[tile.index(features, first + j, l)],
        Right::Picked(rows) => rows.row(l)[j],
        Right::PickedColumns(rows) if j < rows.count() => rows.row(j)[l],
        Right::PickedColumns(_) => 0.0,
    };
    for i in 0..m {
        for j in 0..n {
            let (start, stride) = column(g.layout, m, n, j);
            let at = start + i * stride;
            let c = &mut g.c[at];
            let mut sum = match g.start {
                Start::Zero => 0.0,
                Start::C => f64::from(*c),
                Start::Bias(bias) => f64::from(bias[i]),
                Start::BiasOfColumns(bias) => f64::from(bias[j]),
            };
            for l in 0..k {
                sum += f64::from(a(i, l)) * f64::from(b(l, j));
            }
            let rectifier = |x: f32, leak: f32| if x > 0.0 { 1.0 } else { f64::from(leak) };
            let slope = |slope: Slope, y: f32| match slope {
                Slope::Kept => f64::from(y),
                Slope::Rectifier { leak } => rectifier(y, leak),
                Slope::Tanh => 1.0 - f64::from(y) * f64::from(y),
                Slope::Sigmoid => f64::from(y) * (1.0 - f64::from(y)),
            };
            *c = match g.end {
                End::Sum => sum as f32,
                End::Rectifier { leak: 0.0 } if sum < 0.0 => 0.0,
                End::Rectifier { leak } => (sum * rectifier(sum as f32, leak)) as f32,
                End::Slope { slope: of, y } => (sum * slope(of, y[at])) as f32,
            };
        }
    }
}

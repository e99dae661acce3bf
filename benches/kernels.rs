//! Every activation and matrix product under every instruction set of this
//! CPU; each proves its answer before it is timed.

#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mlpc_kernels::gemm::{Algorithm, Gemm, Start, Strided};
use mlpc_kernels::simd::Isa;
use mlpc_kernels::unary::Unary;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

fn activations(criterion: &mut Criterion) {
    const N: usize = 4096;
    let inputs: Vec<f32> = (0..N).map(|i| (i as f32 / N as f32 - 0.5) * 16.0).collect();
    for &unary in Unary::ALL {
        let mut group = criterion.benchmark_group(unary.name());
        group.throughput(Throughput::Elements(N as u64));
        for isa in isas() {
            let mut values = inputs.clone();
            unary.apply(isa, &mut values);
            let (bound, _) = unary.bounds();
            for (&x, &y) in inputs.iter().zip(&values) {
                let exact = unary.oracle(x.into());
                let ulp = exact.abs() * f64::from(f32::EPSILON);
                let error = (f64::from(y) - exact).abs();
                assert!(error <= (bound.ulp * ulp).max(bound.absolute), "{} {isa}", unary.name());
            }
            group.bench_function(BenchmarkId::from_parameter(isa), |bencher| {
                bencher.iter_batched_ref(
                    || inputs.clone(),
                    |x| unary.apply(isa, x),
                    criterion::BatchSize::SmallInput,
                );
            });
        }
    }
}

fn products(criterion: &mut Criterion) {
    for (m, n, k) in
        [(64, 256, 64), (128, 128, 784), (33, 129, 65), (10, 128, 128), (1024, 512, 1024)]
    {
        let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
        let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
        let run = |algorithm: Algorithm, isa: Isa, c: &mut [f32]| {
            let a = Strided { data: &a, row_stride: k, column_stride: 1 };
            let start = Start::Zero;
            Gemm { m, n, k, a, b: &b, b_stride: n, c, c_stride: n, start }.run(algorithm, isa);
        };
        // Small whole numbers: every algorithm is exact.
        let mut exact = vec![0.0; m * n];
        run(Algorithm::Naive, Isa::Portable, &mut exact);
        let mut group = criterion.benchmark_group(format!("product {m}x{n}x{k}"));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        let mut c = vec![0.0; m * n];
        for isa in isas() {
            run(Algorithm::Tiled, isa, &mut c);
            assert!(c == exact, "{isa}");
            group.bench_function(BenchmarkId::new("tiled", isa), |bencher| {
                bencher.iter(|| run(Algorithm::Tiled, isa, &mut c));
            });
        }
        run(Algorithm::Matrixmultiply, Isa::best(), &mut c);
        assert!(c == exact, "matrixmultiply");
        group.bench_function("matrixmultiply", |bencher| {
            bencher.iter(|| run(Algorithm::Matrixmultiply, Isa::best(), &mut c));
        });
    }
}

criterion_group!(benches, activations, products);
criterion_main!(benches);

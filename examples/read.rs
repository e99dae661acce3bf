//! Times reading a table and encoding it for a model, without training:
//!
//! ```sh
//! cargo run --release --example read -- MODEL.mlp DATA [THREADS]
//! ```
//!
//! Every run does the whole of it: opening, cells, types, levels, statistics,
//! the matrix of inputs.

#![allow(clippy::print_stdout)]

use mlpc::data::{Dataset, Input, ReadOptions, Table};
use std::error::Error;
use std::time::Instant;

/// The one of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(data)) = (arguments.next(), arguments.next()) else {
        return Err("usage: read MODEL.mlp DATA [THREADS]".into());
    };
    let threads = arguments.next().map_or(Ok(0), |threads| threads.parse())?;
    let model = mlpc::compile(&std::fs::read_to_string(model)?)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        for _ in 0..RUNS {
            let started = Instant::now();
            let table =
                Table::load(vec![Input::File(data.clone().into())], &ReadOptions::default())?;
            let read = started.elapsed().as_secs_f64();
            let dataset = Dataset::bind(&table, &model)?;
            println!(
                "{} threads: {} rows, {} inputs: read {read:.3} s, encoded {:.3} s, together {:.3} s",
                rayon::current_num_threads(),
                dataset.rows,
                dataset.inputs(),
                started.elapsed().as_secs_f64() - read,
                started.elapsed().as_secs_f64(),
            );
        }
        Ok(())
    })
}

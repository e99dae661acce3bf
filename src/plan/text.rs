//! The plan as stable text: `mlpc plan`, snapshots and debugging share it.

use super::small::LEAST_ROWS_OF_TILE;
use super::tables::MANY_LEVELS;
use super::{BufferId, Plan, Program, SlopeOf, Step};
use mlpc_kernels::gemm::Algorithm;
use mlpc_kernels::small::MOST_ROWS;
use std::fmt::{self, Write as _};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fused = if self.options.fuse { "fused" } else { "unfused" };
        writeln!(f, "plan {fused}, {}", self.options.isa)?;
        let state = self.optimizer.state() * self.parameters;
        writeln!(
            f,
            "flat buffers: {} parameters, {} gradient, {state} state of {}",
            self.parameters,
            self.parameters,
            self.optimizer.kind.name(),
        )?;
        for tensor in &self.tensors {
            let shape = tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            writeln!(f, "  {} [{shape}] at {}", tensor.name, tensor.range.start)?;
        }
        self.categories(f)?;
        if self.small.is_some() {
            write!(
                f,
                "small: a step of up to {MOST_ROWS} rows is one kernel call, so is prediction"
            )?;
            match self.predict.reads_rows() {
                true => writeln!(f, " of fewer than {LEAST_ROWS_OF_TILE} rows")?,
                false => writeln!(f)?,
            }
        }
        self.program(f, "train", &self.train)?;
        self.program(f, "predict", &self.predict)
    }
}

impl Plan {
    fn program(&self, f: &mut fmt::Formatter<'_>, name: &str, program: &Program) -> fmt::Result {
        let kib = program.arena as f64 * program.tile as f64 * 4.0 / 1024.0;
        writeln!(
            f,
            "{name}: tiles of up to {} rows, arena of {} features ({kib:.1} KiB)",
            program.tile, program.arena
        )?;
        for (at, step) in program.steps.iter().enumerate() {
            writeln!(f, "  {at:>2} {}", self.step(program, step))?;
        }
        match program.output {
            Some(output) => writeln!(f, "  output {}", buffer(program, output)),
            None => Ok(()),
        }
    }

    fn step(&self, program: &Program, step: &Step) -> String {
        let b = |id: BufferId| buffer(program, id);
        let tensor = |id: usize| &self.tensors[id].name;
        let slope = |s: &SlopeOf| {
            let kept = if s.kept { "kept at" } else { "from" };
            let place = if s.in_registers { ", in registers" } else { "" };
            format!("slope {} {kept} {}{place}", s.f.name(), b(s.from))
        };
        match *step {
            Step::Load { x, rows } => {
                let mut text = format!("load -> {}", b(x));
                if let Some(rows) = rows {
                    let _ = write!(text, ", {}", b(rows.to));
                    if rows.most < usize::MAX {
                        let _ = write!(text, " of up to {} rows", rows.most);
                    }
                }
                if program.output.is_some() && self.takes_rows() {
                    text.push_str(
                        " (where weights are packed, the first layer takes rows as they lie)",
                    );
                }
                if program.keeps {
                    text.push_str(" (stays for a step of the same batch)");
                }
                text
            }
            Step::Gather { table, bias, to, first } => {
                let table = &self.tables[table];
                let mut text = format!("gather {}", tensor(table.tensor));
                if let Some(bias) = bias {
                    let _ = write!(text, " + {}", tensor(bias));
                }
                let _ = write!(text, " -> {}", b(to));
                if table.width < program.buffers[to].width {
                    let _ = write!(text, " from {first} on");
                }
                text
            }
            Step::Scatter { table, from, rows, first } => {
                let table = &self.tables[table];
                let name = tensor(table.tensor);
                let mut text = format!("scatter {name} from {} <- {}", b(rows), b(from));
                if table.width < program.buffers[from].width {
                    let _ = write!(text, " from {first} on");
                }
                text
            }
            Step::Dense { weight, bias, x, z, onto, ending, algorithm } => {
                let rows = || "rows as they lie".to_owned();
                let mut text = format!("dense {} {}", tensor(weight), x.map_or_else(rows, b));
                if onto {
                    text.push_str(" added");
                }
                if let Some(bias) = bias {
                    let _ = write!(text, " + {}", tensor(bias));
                }
                let _ = write!(text, " -> {}", b(z));
                if let Some(ending) = ending {
                    let _ = match ending.y == z {
                        _ if ending.in_registers => {
                            write!(text, ", {} in registers", ending.f.name())
                        }
                        true => write!(text, ", {} in place", ending.f.name()),
                        false => {
                            write!(text, ", {} -> {}, slope kept", ending.f.name(), b(ending.y))
                        }
                    };
                }
                let _ = write!(text, " ({})", self.why(weight, algorithm));
                text
            }
            Step::Bias { bias, x, z } => format!("bias {} + {} -> {}", b(x), tensor(bias), b(z)),
            Step::Activate { f, z, y } => format!("{} {} -> {}", f.name(), b(z), b(y)),
            Step::Softmax { z, y } => format!("softmax {} -> {}", b(z), b(y)),
            Step::Loss { p, dp } => {
                format!("loss_gradient {} {} -> {}", self.loss.kind.name(), b(p), b(dp))
            }
            Step::LossOfLogits { z } => {
                format!("loss_gradient {} of logits {} in place", self.loss.kind.name(), b(z))
            }
            Step::Slope { slope: s, dy, dz } => format!("{} * {} -> {}", b(dy), slope(&s), b(dz)),
            Step::SoftmaxSlope { y, dy, dz } => {
                format!("slope softmax {} of {} -> {}", b(dy), b(y), b(dz))
            }
            Step::WeightGradient { weight, bias, dz, x, rows, packs, algorithm } => {
                let mut text = format!("weight_gradient {}", tensor(weight));
                if let Some(bias) = bias {
                    let _ = write!(text, " and {}", tensor(bias));
                }
                let _ = write!(text, " from {}", b(dz));
                if let Some(rows) = rows {
                    let _ = write!(text, ", {}", b(rows.to));
                }
                if let Some(x) = x {
                    let from = match rows {
                        Some(_) if packs => " <-",
                        Some(_) => " or",
                        None => ",",
                    };
                    let _ = write!(text, "{from} {}", b(x));
                }
                if rows.is_none() && x.is_none() {
                    text.push_str(", rows as they lie");
                }
                let why = match rows {
                    Some(rows) if rows.most < usize::MAX => {
                        let (tiled, dots) = (algorithm.name(), Algorithm::Dots.name());
                        format!("{tiled}, {dots} beyond {} rows", rows.most)
                    }
                    _ => self.why(weight, algorithm),
                };
                let _ = write!(text, " ({why})");
                text
            }
            Step::BiasGradient { bias, dz } => {
                format!("bias_gradient {} from {}", tensor(bias), b(dz))
            }
            Step::InputGradient { weight, first, dz, dx, slope: s, algorithm } => {
                let mut text = format!("input_gradient {} {} -> {}", tensor(weight), b(dz), b(dx));
                if first > 0 {
                    let _ = write!(text, " of the inputs from {first} on");
                }
                if let Some(s) = s {
                    let _ = write!(text, ", times {}", slope(&s));
                }
                let _ = write!(text, " ({})", self.why(weight, algorithm));
                text
            }
        }
    }

    /// What becomes of categories, and why.
    fn categories(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, levels) =
            self.layout.one_hot().fold((0, 0), |(n, sum), (_, levels)| (n + 1, sum + levels));
        let categories = if count == 1 { "category" } else { "categories" };
        match self.gathered.map(|table| &self.tables[table]) {
            _ if count == 0 => Ok(()),
            Some(table) => writeln!(
                f,
                "{count} {categories} of {levels} levels: gathered, a row of {} weights each \
                 in place of products with {levels} inputs",
                table.width
            ),
            None => writeln!(
                f,
                "{count} {categories} of {levels} levels: written out as inputs, {}",
                match &self.small {
                    Some(_) => "the network is small".to_owned(),
                    None if !self.options.fuse => "every node is a step".to_owned(),
                    None => format!("a product is faster below {MANY_LEVELS} levels a category"),
                }
            ),
        }
    }

    /// Who computes a product of a weight, and why where that is not the rule.
    fn why(&self, weight: usize, algorithm: Algorithm) -> String {
        let name = algorithm.name();
        let outputs = self.tensors[weight].shape[0];
        let inputs = self.weights[weight].len() / outputs;
        match algorithm {
            Algorithm::Dots => {
                let (few, of, pack) = match inputs > outputs {
                    true => (outputs, "output", "rows for"),
                    false => (inputs, "input", "rows of"),
                };
                let are = if few == 1 { " is" } else { "s are" };
                format!("{name}: {few} {of}{are} too few to pack {pack}")
            }
            Algorithm::Matrixmultiply => {
                format!("{name}: a weight beyond the cache, without fused multiply-add")
            }
            Algorithm::Rows => {
                format!("{name}: {outputs} outputs are too few for a tile of inputs")
            }
            Algorithm::Naive | Algorithm::Tiled => name.to_owned(),
        }
    }
}

/// A buffer with its width and place: `%3[64]@16`.
fn buffer(program: &Program, id: BufferId) -> String {
    let buffer = &program.buffers[id];
    format!("{}[{}]@{}", buffer.name, buffer.width, buffer.offset)
}

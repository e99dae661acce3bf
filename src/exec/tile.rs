//! One tile: the plan's steps over the tile's arena.

use super::fork::Threads;
use super::levels::Levels;
use super::pieces::{By, product};
use super::read::{Product, Read};
use super::{Batch, Rows, Targets, ask_for_rows};
use crate::inputs::{Features, NONE};
use crate::plan::{Buffer, BufferId, Ending, Plan, Program, SlopeOf, Step};
use mlpc_kernels::gather;
use mlpc_kernels::gemm::{self, End, Gemm, Right, Start};
use mlpc_kernels::layout::{self, Pick, Picked, Tile};
use mlpc_kernels::lines::{Lines, ask_for};
use mlpc_kernels::loss::{self, LossSum};
use mlpc_kernels::single::Packed;
use mlpc_kernels::unary::{self, Unary};
use std::ops::Range;

/// The rows that a tile takes from its batch.
pub(super) struct TileInput<'a> {
    pub(super) batch: &'a Batch<'a>,
    /// Its shape.
    pub(super) tile: Tile,
    /// Places in the batch.
    pub(super) rows: Range<usize>,
    /// Rows of the whole tile that its gradient is computed of, where it is a panel
    /// of one.
    pub(super) whole: usize,
    /// What the loss's gradient is multiplied by.
    pub(super) scale: f32,
    /// Whether they are loaded: the tile has run with the same rows before.
    pub(super) loaded: bool,
    /// Whether weights are asked for before they are read: other threads have just
    /// written them, past the caches.
    pub(super) asks: bool,
    /// Whether its rows are asked for before they are read: nobody has, since several
    /// threads take those of the batch.
    pub(super) far: bool,
}

impl<'a> TileInput<'a> {
    /// Which rows of the table they are.
    fn pick(&self) -> Pick<'a> {
        match self.batch.rows {
            Rows::Range(start, _) => Pick::From(start + self.rows.start),
            Rows::Numbers(numbers) => Pick::Numbers(&numbers[self.rows.clone()]),
        }
    }

    /// They, where a program reads them as they lie.
    pub(super) fn picked(&self, plan: &Plan, program: &Program) -> Option<Picked<'a>> {
        program.reads_rows().then(|| {
            let data = self.batch.features.dense;
            let rows = layout::Rows { data, columns: plan.layout.dense, pick: self.pick() };
            Picked::new(rows, self.rows.len())
        })
    }
}

/// The gradient of the tile's shard.
pub(super) struct Gradients<'a> {
    pub(super) flat: &'a mut [f32],
    /// The shard's first tile: the gradient starts at zero.
    pub(super) first: bool,
}

/// What a shard's steps read and write beside its arena.
pub(super) struct Scratch<'a> {
    pub(super) arena: &'a mut [f32],
    pub(super) targets: &'a mut [f32],
    pub(super) classes: &'a mut [u32],
    pub(super) levels: &'a mut Levels,
    /// The sum of losses, which is added to.
    pub(super) loss: &'a mut LossSum,
}

/// A tile at work.
struct Work<'a> {
    plan: &'a Plan,
    program: &'a Program,
    parameters: &'a [f32],
    tile: Tile,
    /// Its rows, where they are read as they lie.
    rows: Option<Picked<'a>>,
    levels: &'a Levels,
    arena: &'a mut [f32],
    /// What the first product may bring near for the next tile.
    ahead: &'a [f32],
}

/// Runs training's steps for one tile, on several threads where they are given.
/// Without a gradient the steps that compute it are left for
/// [`Part::compute`](super::parts::Part::compute), but for what prepares them, and
/// levels are sorted for it.
pub(super) fn run_tile(
    plan: &Plan,
    program: &Program,
    parameters: &[f32],
    input: TileInput<'_>,
    scratch: Scratch<'_>,
    mut gradients: Option<Gradients<'_>>,
    mut threads: Threads<'_>,
) {
    let tile = input.tile;
    let Scratch { arena, targets, classes, levels, loss } = scratch;
    let features = input.batch.features;
    if !input.loaded {
        if let (true, Pick::Numbers(rows)) = (input.far, input.pick()) {
            ask_for_rows(plan, input.batch, rows);
        }
        load_targets(plan, &input, tile, targets, classes);
        let at = |place| input.batch.rows.at(place);
        levels.load(plan, features.codes, input.rows.clone(), at);
        match gradients {
            Some(_) => levels.pair(plan),
            None => levels.sort(plan),
        }
    }
    let targets = match input.batch.targets {
        Targets::Values(_) => Targets::Values(&targets[..plan.outputs * tile.width]),
        Targets::Classes(_) => Targets::Classes(&classes[..tile.rows]),
    };
    let levels = &*levels;
    let rows = input.picked(plan, program);
    let mut work = Work { plan, program, parameters, tile, rows, levels, arena, ahead: &[] };
    for (at, step) in program.steps.iter().enumerate() {
        if input.asks {
            let next = weights_of_next(plan, &program.steps[at + 1..], parameters);
            match step {
                Step::Load { .. } => ask_for(plan.options.isa, next),
                _ => work.ahead = next,
            }
        }
        match *step {
            Step::Load { .. } if input.loaded => {}
            Step::Load { x, rows } if threads.have_arenas() => {
                let load = |arena: &mut [f32]| {
                    let mut work = Work {
                        plan,
                        program,
                        parameters,
                        tile,
                        // They are loaded.
                        rows: None,
                        levels,
                        arena,
                        ahead: &[],
                    };
                    let rows = rows.and_then(|rows| rows.of(input.whole));
                    work.load(x, rows, features, input.pick(), Threads::One);
                };
                threads.all().each_arena(|| load(work.arena), &load);
            }
            Step::Load { x, rows } => {
                let rows = rows.and_then(|rows| rows.of(input.whole));
                work.load(x, rows, features, input.pick(), threads.all());
            }
            Step::Loss { p, dp } => loss.merge(&work.loss(p, dp, targets, input.scale)),
            Step::LossOfLogits { z } => {
                loss.merge(&work.loss_of_logits(z, targets, input.scale));
            }
            Step::WeightGradient { weight, bias, dz, x, rows, packs, .. } => {
                let rows = rows.and_then(|rows| rows.of(input.whole));
                if let (true, Some(x), Some(rows)) = (packs, x, rows) {
                    work.pack(x, rows, threads.all());
                }
                let Some(Gradients { flat, first }) = &mut gradients else { continue };
                let work = work.read();
                let gradient = &mut flat[plan.weights[weight].clone()];
                let outputs = 0..plan.tensors[weight].shape[0];
                let product = Product::of(step, input.whole, !*first);
                work.share_weight_gradient(outputs, product, gradient, threads.all());
                if let Some(bias) = bias {
                    let gradient = &mut flat[plan.tensors[bias].range.clone()];
                    work.bias_gradient(dz, gradient, !*first);
                }
            }
            Step::Scatter { table, from, rows, first: feature } => {
                work.unpack(from, rows);
                let Some(Gradients { flat, first }) = &mut gradients else { continue };
                let sums = &mut flat[plan.tables[table].range.clone()];
                if *first {
                    sums.fill(0.0);
                }
                let (width, stride) = (plan.tables[table].width, work.width(rows));
                let (rows, pairs) = (&work.get(rows)[feature..], levels.pairs(table));
                gather::scatter(plan.options.isa, width, rows, stride, pairs, sums);
            }
            Step::BiasGradient { bias, dz } => {
                let Some(Gradients { flat, first }) = &mut gradients else { continue };
                let gradient = &mut flat[plan.tensors[bias].range.clone()];
                work.read().bias_gradient(dz, gradient, !*first);
            }
            ref step => work.forward_or_slope(step, threads.all()),
        }
    }
}

/// The weights that the next forward product of some steps reads.
fn weights_of_next<'a>(plan: &Plan, steps: &[Step], parameters: &'a [f32]) -> &'a [f32] {
    let weight = steps.iter().find_map(|step| match *step {
        Step::Dense { weight, .. } => Some(weight),
        _ => None,
    });
    weight.map_or(&[], |weight| &parameters[plan.weights[weight].clone()])
}

/// What prediction reads and writes beside parameters and rows.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) arena: Lines,
    levels: Levels,
    /// Rows of a small network whose categories are written out; one row with
    /// the numbers of its embeddings.
    expanded: Vec<f32>,
}

impl Memory {
    /// Memory for tiles of a plan, with at least so many floats.
    pub(super) fn new(plan: &Plan, least: usize) -> Memory {
        let Program { arena, tile, .. } = plan.predict;
        let expanded = match &plan.small {
            Some(_) if !plan.layout.categories.is_empty() => tile * plan.inputs,
            _ if plan.gathered.is_some() => plan.layout.one_hot_start(),
            _ => plan.inputs,
        };
        Memory {
            arena: Lines::zeros((arena * tile).max(least)),
            levels: Levels::new(plan, tile, false),
            expanded: vec![0.0; expanded],
        }
    }

    /// The rows of a tile as a matrix, where a small network takes them so.
    pub(super) fn expand<'a>(
        &'a mut self,
        plan: &Plan,
        features: Features<'a>,
        rows: usize,
    ) -> &'a [f32] {
        if plan.layout.categories.is_empty() {
            return features.dense;
        }
        let expanded = &mut self.expanded[..rows * plan.inputs];
        for (row, to) in expanded.chunks_exact_mut(plan.inputs).enumerate() {
            features.expand(&plan.layout, row, to);
        }
        expanded
    }

    /// The levels of so many rows.
    pub(super) fn levels(&mut self, plan: &Plan, codes: &[u32], rows: usize) -> &Levels {
        self.levels.load(plan, codes, 0..rows, |place| place);
        &self.levels
    }
}

impl Memory {
    /// Predicts one row with a network's packed layers.
    pub(super) fn predict_row(
        &mut self,
        plan: &Plan,
        packed: &Packed,
        parameters: &[f32],
        features: Features<'_>,
        out: &mut [f32],
    ) {
        self.levels(plan, features.codes, 1);
        let Memory { arena, levels, expanded } = self;
        let (layout, mut x) = (&plan.layout, features.dense);
        let embeds = layout.embeddings().next().is_some();
        if plan.gathered.is_none() && !layout.categories.is_empty() {
            features.expand(layout, 0, &mut expanded[..plan.inputs]);
            x = &expanded[..plan.inputs];
        } else if embeds {
            expanded[..layout.dense].copy_from_slice(x);
            x = &expanded[..layout.one_hot_start()];
        }
        let width = x.len();
        if embeds {
            let mut rest = &mut expanded[layout.dense..width];
            // The tables of embeddings come first, in order.
            for (number, _) in layout.embeddings().enumerate() {
                let table = &plan.tables[number];
                let rows = &parameters[table.range.clone()];
                let (to, behind) = rest.split_at_mut(table.width);
                rest = behind;
                to.fill(0.0);
                if let &[level] = levels.of(number)
                    && level != NONE
                {
                    // As `gather` does, a sum of one: −0 becomes 0.
                    let row = &rows[level as usize * table.width..][..table.width];
                    to.iter_mut().zip(row).for_each(|(to, x)| *to += x);
                }
            }
            x = &expanded[..width];
        }
        let levels = plan.gathered.map_or(&[][..], |table| levels.of(table));
        packed.predict(x, levels, out, arena);
    }
}

/// Runs prediction's steps for the rows of `features`, no more than a tile
/// takes, and writes `[rows, outputs]`. `ahead` is what the next tile will
/// read. Where there are packed weights for it, the first layer takes the rows as they
/// lie.
pub(super) fn predict_tile(
    plan: &Plan,
    parameters: &[f32],
    mut first: Option<&Packed>,
    features: Features<'_>,
    ahead: &[f32],
    memory: &mut Memory,
    out: &mut [f32],
) {
    let rows = out.len() / plan.outputs;
    if let Some(net) = plan.small_prediction(rows) {
        let features = memory.expand(plan, features, rows);
        return net.predict(plan.options.isa, parameters, features, out);
    }
    let tile = plan.tile(rows);
    let program = &plan.predict;
    memory.levels(plan, features.codes, rows);
    let Memory { arena, levels, .. } = memory;
    let rows = program.reads_rows().then(|| {
        let (data, columns, pick) = (features.dense, plan.layout.dense, Pick::From(0));
        Picked::new(layout::Rows { data, columns, pick }, rows)
    });
    let mut work = Work { plan, program, parameters, tile, rows, levels, arena, ahead };
    for step in &program.steps {
        match (*step, first) {
            (Step::Load { .. }, Some(_)) => {}
            (Step::Dense { x: Some(x), z, ending, .. }, Some(packed)) => {
                work.first_of_rows(packed, features.dense, [x, z], ending);
                first = None;
            }
            // Nothing is to be packed.
            (Step::Load { x, .. }, None) => {
                work.load(x, None, features, Pick::From(0), Threads::One);
            }
            (ref step, _) => work.forward_or_slope(step, Threads::One),
        }
    }
    let output = program.output.expect("a prediction has an output");
    let p = work.get(output);
    layout::tile_to_rows(plan.options.isa, tile, plan.outputs, p, out);
}

/// The tile's targets: numbers as a tile with zeros in padding lanes.
fn load_targets(
    plan: &Plan,
    input: &TileInput<'_>,
    tile: Tile,
    values: &mut [f32],
    classes: &mut [u32],
) {
    match input.batch.targets {
        Targets::Values(y) => {
            let values = &mut values[..plan.outputs * tile.width];
            let rows = layout::Rows { data: y, columns: plan.outputs, pick: input.pick() };
            layout::rows_to_tile(plan.options.isa, tile, rows, values);
        }
        Targets::Classes(all) => {
            let classes = &mut classes[..tile.rows];
            for (class, place) in classes.iter_mut().zip(input.rows.clone()) {
                *class = all[input.batch.rows.at(place)];
            }
        }
    }
}

impl Work<'_> {
    fn range(&self, buffer: BufferId) -> Range<usize> {
        range(self.program, self.tile, buffer)
    }

    fn width(&self, buffer: BufferId) -> usize {
        self.program.buffers[buffer].width
    }

    /// Where a buffer lies that members of a team have in arenas of their own.
    fn own(&self, buffer: BufferId) -> Option<Range<usize>> {
        self.program.own.contains(&buffer).then(|| self.range(buffer))
    }

    fn get(&self, buffer: BufferId) -> &[f32] {
        &self.arena[self.range(buffer)]
    }

    fn get_mut(&mut self, buffer: BufferId) -> &mut [f32] {
        let range = self.range(buffer);
        &mut self.arena[range]
    }

    /// Several buffers at once, to read some and write others.
    fn several<const N: usize>(&mut self, buffers: [BufferId; N]) -> [&mut [f32]; N] {
        let ranges = buffers.map(|b| self.range(b));
        self.arena
            .get_disjoint_mut(ranges)
            .expect("the plan gives buffers that are alive together places of their own")
    }

    fn load(
        &mut self,
        x: BufferId,
        rows: Option<BufferId>,
        features: Features<'_>,
        pick: Pick<'_>,
        threads: Threads<'_>,
    ) {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let from = layout::Rows { data: features.dense, columns: plan.layout.dense, pick };
        let expands = plan.gathered.is_none() && plan.layout.one_hot().next().is_some();
        let inputs = self.width(x);
        let load = |x: &mut [f32]| {
            if from.columns > 0 {
                layout::rows_to_tile(isa, tile, from, x);
            }
            if expands {
                expand(plan, tile, inputs, features.codes, pick, x);
            }
        };
        let Some(rows) = rows else { return load(self.get_mut(x)) };
        let [x, rows] = self.several([x, rows]);
        threads.join(|_| load(x), |_| layout::pack_rows(isa, tile, from, plan.panel, rows));
    }

    /// Features ← (bias +) the sum of a table's rows.
    fn gather(&mut self, table: usize, bias: Option<usize>, to: BufferId, first: usize) {
        let (plan, tile, parameters) = (self.plan, self.tile, self.parameters);
        let levels = self.levels.of(table);
        let table = &plan.tables[table];
        let bias = bias.map(|bias| &parameters[plan.tensors[bias].range.clone()]);
        let rows = &parameters[table.range.clone()];
        let isa = plan.options.isa;
        gather::gather(isa, tile, table.width, rows, bias, levels, self.get_mut(to), first);
    }

    fn forward_or_slope(&mut self, step: &Step, threads: Threads<'_>) {
        let (isa, tile) = (self.plan.options.isa, self.tile);
        match *step {
            Step::Gather { table, bias, to, first } => self.gather(table, bias, to, first),
            Step::Dense { weight, bias, x, z, onto, ending, algorithm } => {
                let within = ending.filter(|ending| ending.in_registers).map(|ending| ending.f);
                let by = By { algorithm, threads, own: x.and_then(|x| self.own(x)) };
                self.dense(weight, bias, (x, z), onto, within, by);
                match ending {
                    None => {}
                    Some(ending) if ending.in_registers => {}
                    Some(ending) if ending.y == z => ending.f.apply(isa, self.get_mut(z)),
                    Some(ending) => {
                        let [z, y] = self.several([z, ending.y]);
                        ending.f.apply_keeping_slope(isa, z, y);
                    }
                }
            }
            Step::Bias { bias, x, z } => {
                let range = self.plan.tensors[bias].range.clone();
                let bias = &self.parameters[range];
                let [x, z] = self.several([x, z]);
                for panel in tile.panels() {
                    let range = panel.of(bias.len());
                    let x = x[range.clone()].chunks_exact(panel.width);
                    for ((x, z), b) in x.zip(z[range].chunks_exact_mut(panel.width)).zip(bias) {
                        for (z, x) in z.iter_mut().zip(x) {
                            *z = x + b;
                        }
                    }
                }
            }
            Step::Activate { f, z, y } => {
                let [z, y] = self.several([z, y]);
                y.copy_from_slice(z);
                f.apply(isa, y);
            }
            Step::Softmax { z, y } => {
                if z != y {
                    let [z, y] = self.several([z, y]);
                    y.copy_from_slice(z);
                }
                loss::softmax(isa, tile, self.get_mut(y));
            }
            Step::Slope { slope, dy, dz } => {
                if dy != dz {
                    let [dy, dz] = self.several([dy, dz]);
                    dz.copy_from_slice(dy);
                }
                self.slope(slope, dz);
            }
            Step::SoftmaxSlope { y, dy, dz } => {
                let [y, dy, dz] = self.several([y, dy, dz]);
                dz.copy_from_slice(dy);
                loss::softmax_backward(tile, y, dz);
            }
            Step::InputGradient { weight, first, dz, dx, slope, algorithm } => {
                let within = slope.filter(|slope| slope.in_registers);
                let by = By { algorithm, threads, own: None };
                self.input_gradient(weight, first, [dz, dx], within, by);
                if let (Some(slope), None) = (slope, within) {
                    self.slope(slope, dx);
                }
            }
            _ => unreachable!("a step of training alone: {step:?}"),
        }
    }

    fn slope(&mut self, slope: SlopeOf, dz: BufferId) {
        let isa = self.plan.options.isa;
        let [from, dz] = self.several([slope.from, dz]);
        if slope.kept {
            unary::multiply(isa, from, dz);
        } else {
            slope.f.multiply_slope(isa, from, dz);
        }
    }

    /// z ← W·x (+ b), or z + W·x, or f of it
    fn dense(
        &mut self,
        weight: usize,
        bias: Option<usize>,
        (x, z): (Option<BufferId>, BufferId),
        onto: bool,
        f: Option<Unary>,
        by: By<'_>,
    ) {
        let (plan, tile, parameters) = (self.plan, self.tile, self.parameters);
        let weights = &parameters[plan.weights[weight].clone()];
        let outputs = self.width(z);
        let shape = [outputs, weights.len() / outputs];
        let bias = bias.map(|bias| &parameters[plan.tensors[bias].range.clone()]);
        if shape[1] == 0 && f.is_none() {
            return;
        }
        let ahead = std::mem::take(&mut self.ahead);
        let mut gemm = match (x, self.rows) {
            (None, Some(rows)) => {
                let z = self.get_mut(z);
                let b = Right::PickedColumns(rows);
                Gemm { b, ..Gemm::forward(tile, shape, weights, bias, &[], z) }
            }
            (x, _) => {
                let x = x.expect("rows are given to programs that read them");
                let [x, z] = self.several([x, z]);
                Gemm::forward(tile, shape, weights, bias, x, z)
            }
        };
        gemm.ahead = ahead;
        if onto {
            gemm.start = Start::C;
        }
        if let Some(f) = f {
            let leak = f.leak().expect("the plan gives products rectifiers alone");
            gemm.end = End::Rectifier { leak };
        }
        product(&mut gemm, plan.options.isa, by);
    }

    /// The first layer of rows as they lie: z ← f(W·x + b), where x is but room for them.
    fn first_of_rows(
        &mut self,
        packed: &Packed,
        rows: &[f32],
        [x, z]: [BufferId; 2],
        ending: Option<Ending>,
    ) {
        let (isa, tile, columns) = (self.plan.options.isa, self.tile, self.width(z));
        let ahead = std::mem::take(&mut self.ahead);
        let [room, to] = self.several([x, z]);
        let sums = &mut room[..columns * tile.rows];
        packed.first_of_rows(isa, rows, ahead, sums);
        let rows = layout::Rows { data: sums, columns, pick: Pick::From(0) };
        layout::rows_to_tile(isa, tile, rows, to);
        if let Some(ending) = ending.filter(|ending| !ending.in_registers) {
            ending.f.apply(isa, to);
        }
    }

    /// dx ← Wᵀ·dz (· f′), of the inputs from `first` on
    fn input_gradient(
        &mut self,
        weight: usize,
        first: usize,
        [dz, dx]: [BufferId; 2],
        slope: Option<SlopeOf>,
        by: By<'_>,
    ) {
        let (plan, tile, parameters) = (self.plan, self.tile, self.parameters);
        let (outputs, inputs) = (self.width(dz), first..first + self.width(dx));
        let weights = &parameters[plan.weights[weight].clone()];
        let shape = [outputs, weights.len() / outputs];
        let isa = plan.options.isa;
        match slope {
            None => {
                let [dz, dx] = self.several([dz, dx]);
                let mut gemm = Gemm::input_gradient(tile, shape, weights, dz, dx);
                product(gemm.leave_rows(inputs), isa, by);
            }
            Some(slope) => {
                let [dz, dx, y] = self.several([dz, dx, slope.from]);
                let slope = gemm::Slope::of(slope.f, slope.kept);
                let slope = slope.expect("the plan gives products such slopes alone");
                let mut gemm = Gemm::input_gradient(tile, shape, weights, dz, dx);
                gemm.end = End::Slope { slope, y };
                product(gemm.leave_rows(inputs), isa, by);
            }
        }
    }

    /// A tile row by row.
    fn unpack(&mut self, from: BufferId, rows: BufferId) {
        let (isa, tile, features) = (self.plan.options.isa, self.tile, self.width(from));
        let [from, rows] = self.several([from, rows]);
        layout::tile_to_rows(isa, tile, features, from, &mut rows[..features * tile.rows]);
    }

    /// x as rows in panels; members of a team pack it in arenas of their own.
    fn pack(&mut self, x: BufferId, rows: BufferId, threads: Threads<'_>) {
        let (plan, tile, inputs) = (self.plan, self.tile, self.width(rows));
        let pack = |x: &[f32], rows: &mut [f32]| {
            layout::pack_tile(plan.options.isa, tile, inputs, x, plan.panel, rows);
        };
        let (own, at) = (self.own(x), self.range(rows));
        let [x, rows] = self.several([x, rows]);
        let x = &*x;
        if !threads.have_arenas() {
            return pack(x, rows);
        }
        threads.each_arena(|| pack(x, rows), &|arena| match own.clone() {
            None => pack(x, &mut arena[at.clone()]),
            Some(own) => {
                let parts = arena.get_disjoint_mut([own, at.clone()]);
                let [x, rows] = parts.expect("buffers that are alive together lie apart");
                pack(x, rows);
            }
        });
    }

    fn read(&self) -> Read<'_> {
        let Work { plan, program, tile, rows, .. } = *self;
        Read { plan, program, tile, arena: &*self.arena, rows, own: None, shared: false }
    }

    fn loss(&mut self, p: BufferId, dp: BufferId, targets: Targets<'_>, scale: f32) -> LossSum {
        let (plan, tile) = (self.plan, self.tile);
        let [p, dp] = self.several([p, dp]);
        match targets {
            Targets::Values(y) => plan.loss.gradient(plan.options.isa, tile, p, y, scale, dp),
            Targets::Classes(classes) => {
                let smoothing = plan.loss.hyper[0] as f32;
                loss::cross_entropy(tile, p, classes, smoothing, scale, dp)
            }
        }
    }

    fn loss_of_logits(&mut self, z: BufferId, targets: Targets<'_>, scale: f32) -> LossSum {
        let (plan, tile) = (self.plan, self.tile);
        let isa = plan.options.isa;
        let z = self.get_mut(z);
        match targets {
            Targets::Classes(classes) => {
                let smoothing = plan.loss.hyper[0] as f32;
                loss::softmax_cross_entropy(isa, tile, z, classes, smoothing, scale)
            }
            Targets::Values(y) => loss::sigmoid_bce(isa, tile, z, y, scale),
        }
    }
}

/// Where a buffer lies in the arena of a tile.
pub(super) fn range(program: &Program, tile: Tile, buffer: BufferId) -> Range<usize> {
    let Buffer { width, offset, .. } = program.buffers[buffer];
    offset * tile.width..(offset + width) * tile.width
}

/// Writes the categories that are no embeddings as zeros and a one, behind the other
/// features of the tile x.
fn expand(plan: &Plan, tile: Tile, features: usize, codes: &[u32], pick: Pick<'_>, x: &mut [f32]) {
    let width = plan.layout.categories.len();
    for panel in tile.panels() {
        let mut first = plan.layout.one_hot_start();
        let x = &mut x[panel.of(features)];
        x[first * panel.width..].fill(0.0);
        for (category, levels) in plan.layout.one_hot() {
            let of_category = &mut x[first * panel.width..(first + levels) * panel.width];
            for lane in 0..panel.rows {
                let code = codes[pick.row(panel.first + lane) * width + category];
                if code != NONE {
                    assert!((code as usize) < levels, "a code beyond its levels");
                    of_category[code as usize * panel.width + lane] = 1.0;
                }
            }
            first += levels;
        }
    }
}

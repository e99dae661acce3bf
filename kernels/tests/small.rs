//! Whole steps of small networks against plain f64 code: random shapes,
//! activations, losses and optimizers, every number of rows, every instruction
//! set of this CPU and the model of one with 16 lanes.

use mlpc_kernels::layout::{Pick, Rows};
use mlpc_kernels::loss::{Loss, LossKind};
use mlpc_kernels::optim::{Optimizer, OptimizerKind, Readers};
use mlpc_kernels::simd::Isa;
use mlpc_kernels::single::Ending;
use mlpc_kernels::small::{Batch, Layer, MOST_ROWS, Net, Targets};
use mlpc_kernels::table::oracle;
use mlpc_kernels::unary::Unary;

fn isas() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().chain([Isa::Model]).filter(|isa| isa.available())
}

/// Numbers without a pattern.
struct Noise(u64);

impl Noise {
    fn number(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
    fn numbers(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number()).collect()
    }
    /// Less than `n`.
    fn below(&mut self, n: usize) -> usize {
        ((f64::from(self.number()) + 1.0) * 0.5 * n as f64) as usize
    }
    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// A network of up to three layers, and a loss that goes with it.
fn network(noise: &mut Noise) -> (Vec<Layer>, Loss) {
    let kind = noise.of(LossKind::ALL);
    let depth = 1 + noise.below(3);
    let mut inputs = 1 + noise.below(20);
    let mut layers = Vec::new();
    for i in 0..depth {
        let outputs = 1 + noise.below(11);
        let ending = match kind {
            LossKind::CrossEntropy if i + 1 == depth => Ending::Softmax,
            LossKind::Bce if i + 1 == depth => Ending::Unary(Unary::Sigmoid),
            _ => Ending::Unary(noise.of(Unary::ALL)),
        };
        layers.push(Layer { inputs, outputs, bias: noise.below(4) > 0, ending });
        inputs = outputs;
    }
    let mut loss = Loss::new(kind);
    if kind == LossKind::CrossEntropy && noise.below(2) == 0 {
        loss.hyper[0] = 0.1;
    }
    (layers, loss)
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

/// A table of `held` rows and targets for all losses.
struct Table {
    features: Vec<f32>,
    values: Vec<f32>,
    classes: Vec<u32>,
}

impl Table {
    fn new(noise: &mut Noise, inputs: usize, outputs: usize, loss: &Loss, held: usize) -> Self {
        let mut values = noise.numbers(held * outputs);
        if loss.kind == LossKind::Bce {
            values.iter_mut().for_each(|y| *y = y.abs());
        }
        let classes = (0..held).map(|_| noise.below(outputs) as u32).collect();
        Table { features: noise.numbers(held * inputs), values, classes }
    }

    fn target(&self, loss: &Loss, outputs: usize, row: usize) -> Vec<f64> {
        if loss.kind != LossKind::CrossEntropy {
            return wide(&self.values[row * outputs..(row + 1) * outputs]);
        }
        let (smoothing, class) = (loss.hyper[0], self.classes[row] as usize);
        let hit = |c: usize| if c == class { 1.0 - smoothing } else { 0.0 };
        (0..outputs).map(|c| hit(c) + smoothing / outputs as f64).collect()
    }

    fn batch<'a>(&'a self, net: &Net, loss: &Loss, pick: Pick<'a>, rows: usize) -> Batch<'a> {
        let matrix = |data, columns| Rows { data, columns, pick };
        let targets = match loss.kind {
            LossKind::CrossEntropy => Targets::Classes(&self.classes, pick),
            _ => Targets::Values(matrix(&self.values, net.outputs())),
        };
        Batch { features: matrix(&self.features, net.inputs()), targets, rows }
    }
}

#[test]
fn gradients_agree_with_plain_code() {
    for isa in isas() {
        let mut noise = Noise(11);
        let mut kinds = std::collections::HashSet::new();
        for case in 0..1000 {
            let rows = 1 + case % MOST_ROWS;
            let (layers, loss) = network(&mut noise);
            let Some(net) = Net::new(&layers, loss) else { continue };
            let (n, outputs) = (net.parameters(), net.outputs());
            let table = Table::new(&mut noise, net.inputs(), outputs, &loss, rows + 7);
            let numbers: Vec<u32> = (0..rows).map(|_| noise.below(rows + 7) as u32).collect();
            let pick = if case % 2 == 0 { Pick::From(case % 8) } else { Pick::Numbers(&numbers) };
            let batch = table.batch(&net, &loss, pick, rows);
            kinds.insert((loss.kind, rows.div_ceil(isa.lanes())));
            let parameters = noise.numbers(n);
            let exact_parameters = wide(&parameters);
            let mut gradient = vec![f32::NAN; n];
            let scale = 1.0 / rows as f32;
            let what = format!("{isa}, {rows} rows, {layers:?}, {loss:?}");
            let mut exact = vec![0.0; n];
            let mut total = 0.0;
            for place in 0..rows {
                let at = pick.row(place);
                let x = wide(&table.features[at * net.inputs()..(at + 1) * net.inputs()]);
                let target = table.target(&loss, outputs, at);
                total += oracle(&layers, &loss, &exact_parameters, &x, &target, &mut exact).1;
            }
            let ours = net.gradient(isa, &parameters, &batch, scale, &mut gradient);
            assert!((ours - total).abs() <= 1e-5 * total.abs().max(1.0), "{what}: {ours} {total}");
            let largest = exact.iter().fold(0.0f64, |m, g| m.max(g.abs()));
            for i in 0..n {
                let (g, e) = (f64::from(gradient[i]), exact[i] * f64::from(scale));
                // A softmax of one output is 1 but for its last bit.
                let allowed = 1e-5 * largest * f64::from(scale) + 2.5e-7;
                assert!((g - e).abs() <= allowed, "{what}: gradient {i} is {g}, not {e}");
            }
        }
        // One, two and four registers a feature; all losses.
        for &loss in LossKind::ALL {
            for width in 1..=MOST_ROWS.div_ceil(isa.lanes()) {
                let some = kinds.contains(&(loss, width));
                assert!(some, "{loss:?} with {width} vectors was not tested");
            }
        }
    }
}

/// A step in one call is the gradient and then the update, bit for bit.
#[test]
fn steps_are_gradient_and_update() {
    let mut optimizers: Vec<Optimizer> =
        OptimizerKind::ALL.iter().copied().map(Optimizer::new).collect();
    let decaying = |o: &Optimizer| {
        let at = o.kind.hypers().iter().position(|hyper| hyper.name == "weight_decay");
        let mut o = *o;
        o.hyper[at.expect("all have it")] = 0.1;
        o
    };
    optimizers.extend(optimizers.clone().iter().map(decaying));
    let mut momentum = Optimizer::new(OptimizerKind::Sgd);
    momentum.hyper[0] = 0.9;
    optimizers.extend([momentum, decaying(&momentum)]);
    for isa in isas() {
        let mut noise = Noise(14);
        for case in 0..400 {
            let optimizer = &optimizers[case % optimizers.len()];
            let rows = 1 + noise.below(MOST_ROWS);
            let (layers, loss) = network(&mut noise);
            let Some(net) = Net::new(&layers, loss) else { continue };
            let table = Table::new(&mut noise, net.inputs(), net.outputs(), &loss, rows);
            let batch = table.batch(&net, &loss, Pick::From(0), rows);
            let (n, kept) = (net.parameters(), optimizer.state());
            let state = [usize::from(kept > 0) * n, usize::from(kept > 1) * n];
            let mut ours = (noise.numbers(n), state.map(|n| vec![0.0; n]));
            let mut expected = ours.clone();
            let mut gradient = vec![f32::NAN; n];
            for step in 1..=3 {
                let rule = optimizer.at(step);
                let (parameters, [m, v]) = &mut ours;
                let loss = net.step(isa, &rule, parameters, [m, v], &batch, 0.5);
                let (parameters, [m, v]) = &mut expected;
                let before = net.gradient(isa, parameters, &batch, 0.5, &mut gradient);
                rule.update(isa, parameters, &gradient, [m, v], Readers::Same);
                assert_eq!(loss.to_bits(), before.to_bits());
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                let same = bits(&ours.0) == bits(&expected.0)
                    && (0..2).all(|i| bits(&ours.1[i]) == bits(&expected.1[i]));
                assert!(same, "{isa}, {rows} rows, {layers:?}, {optimizer:?}, step {step}");
            }
        }
    }
}

#[test]
fn predictions_agree_with_plain_code() {
    for isa in isas() {
        let mut noise = Noise(12);
        for rows in (0..70).chain([200]) {
            let (layers, loss) = network(&mut noise);
            let Some(net) = Net::new(&layers, loss) else { continue };
            let parameters = noise.numbers(net.parameters());
            let features = noise.numbers(rows * net.inputs());
            let mut out = vec![f32::NAN; rows * net.outputs()];
            net.predict(isa, &parameters, &features, &mut out);
            let mut unused = vec![0.0; net.parameters()];
            let target = vec![0.5; net.outputs()];
            let each = features.chunks_exact(net.inputs()).zip(out.chunks_exact(net.outputs()));
            for (x, ours) in each {
                let exact =
                    oracle(&layers, &loss, &wide(&parameters), &wide(x), &target, &mut unused).0;
                for (o, e) in ours.iter().zip(exact) {
                    let d = (f64::from(*o) - e).abs();
                    assert!(d <= 1e-5 * (1.0 + e.abs()), "{isa}, {rows} rows, {layers:?}: {o} {e}");
                }
            }
        }
    }
}

/// A row that the batch does not hold must not be seen.
#[test]
fn lanes_without_a_row_count_for_nothing() {
    let layer =
        |inputs, outputs, f| Layer { inputs, outputs, bias: true, ending: Ending::Unary(f) };
    let loss = Loss::new(LossKind::Mse);
    let net = Net::new(&[layer(3, 2, Unary::Tanh), layer(2, 1, Unary::Linear)], loss);
    let net = net.expect("a small network");
    let mut noise = Noise(13);
    let parameters = noise.numbers(net.parameters());
    for isa in isas() {
        for rows in 1..MOST_ROWS {
            let mut table = Table::new(&mut noise, 3, 1, &loss, MOST_ROWS);
            let mut gradients = [vec![0.0; net.parameters()], vec![0.0; net.parameters()]];
            for gradient in &mut gradients {
                let batch = table.batch(&net, &loss, Pick::From(0), rows);
                net.gradient(isa, &parameters, &batch, 1.0, gradient);
                table.features[rows * 3..].fill(f32::NAN);
                table.values[rows..].fill(f32::NAN);
            }
            assert_eq!(gradients[0], gradients[1], "{isa}, {rows} rows");
            assert!(gradients[0].iter().all(|g| g.is_finite()));
        }
    }
}

#[test]
fn a_number_that_is_none_shows() {
    let layer = Layer { inputs: 2, outputs: 1, bias: true, ending: Ending::Unary(Unary::Relu) };
    let net = Net::new(&[layer], Loss::new(LossKind::Mse)).expect("a small network");
    for isa in isas() {
        let rows = |data, columns| Rows { data, columns, pick: Pick::From(0) };
        let batch = Batch {
            features: rows(&[1.0, f32::NAN, 1.0, 2.0], 2),
            targets: Targets::Values(rows(&[1.0, 2.0], 1)),
            rows: 2,
        };
        let mut gradient = [0.0; 3];
        let loss = net.gradient(isa, &[1.0, 1.0, 1.0], &batch, 1.0, &mut gradient);
        assert!(loss.is_nan() && gradient[1].is_nan(), "{isa}: {loss} {gradient:?}");
    }
}

#[test]
fn what_is_not_small_is_refused() {
    let layer = |inputs, outputs, ending| Layer { inputs, outputs, bias: true, ending };
    let linear = Ending::Unary(Unary::Linear);
    let mse = Loss::new(LossKind::Mse);
    assert!(Net::new(&[layer(8, 8, linear)], mse).is_some());
    assert!(Net::new(&[layer(30, 30, linear)], mse).is_none(), "too many parameters");
    assert!(Net::new(&[layer(200, 1, linear)], mse).is_none(), "too many values");
    assert!(Net::new(&[layer(usize::MAX, usize::MAX, linear)], mse).is_none());
    assert!(Net::new(&[layer(2, 2, Ending::Softmax)], mse).is_none());
    assert!(Net::new(&[layer(2, 2, linear)], Loss::new(LossKind::Bce)).is_none());
    assert!(Net::new(&[layer(2, 2, linear)], Loss::new(LossKind::CrossEntropy)).is_none());
}

#[test]
#[should_panic(expected = "a class that is no output")]
fn a_class_that_is_no_output_panics() {
    let layer = Layer { inputs: 1, outputs: 2, bias: false, ending: Ending::Softmax };
    let net = Net::new(&[layer], Loss::new(LossKind::CrossEntropy)).expect("a small network");
    let features = Rows { data: &[1.0], columns: 1, pick: Pick::From(0) };
    let batch = Batch { features, targets: Targets::Classes(&[2], Pick::From(0)), rows: 1 };
    net.gradient(Isa::best(), &[1.0, 1.0], &batch, 1.0, &mut [0.0; 2]);
}

#[test]
#[should_panic(expected = "a row beyond the matrix")]
fn a_row_beyond_the_matrix_panics() {
    let layer = Layer { inputs: 1, outputs: 1, bias: false, ending: Ending::Unary(Unary::Linear) };
    let net = Net::new(&[layer], Loss::new(LossKind::Mse)).expect("a small network");
    let rows = Rows { data: &[1.0, 2.0], columns: 1, pick: Pick::Numbers(&[0, 2]) };
    let batch = Batch { features: rows, targets: Targets::Values(rows), rows: 2 };
    net.gradient(Isa::best(), &[1.0], &batch, 1.0, &mut [0.0]);
}

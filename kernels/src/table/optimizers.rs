//! Optimizers: some steps from the start, against the same steps in f64.

use super::{Accuracy, Buffer, Mismatch, Setting, Work};
use crate::optim::{Optimizer, OptimizerKind, Readers};
use crate::simd::Isa;
use crate::unary::Bound;

/// The largest error of a parameter of magnitude up to 1 after [`STEPS`].
const BOUND: Bound = Bound::ulp_or(0.0, 2e-6);

/// Steps of a check.
const STEPS: u64 = 5;

/// Elements from one step's gradient to the next one's.
const SHIFT: usize = 16;

pub(super) struct Update {
    optimizer: Optimizer,
    isa: Isa,
    start: Vec<f32>,
    p: Buffer,
    /// One run of numbers, of which every step takes another part.
    g: Buffer,
    state: [Buffer; 2],
    step: u64,
    readers: Readers,
}

impl Update {
    pub(super) fn new(kind: OptimizerKind, isa: Isa, n: usize, setting: Setting) -> Self {
        let hyper = setting.hyper(kind.hypers());
        let optimizer = Optimizer { hyper, ..Optimizer::new(kind) };
        let start = super::noise(8, n);
        // A square of 1e15 is still an f32.
        let numbers = n + SHIFT * (STEPS as usize - 1);
        let g = setting.numbers(9, numbers, |x| x, |x| x.is_nan() || x.abs() <= 1e15);
        let state = |kept: bool| Buffer::new(setting, &vec![0.0; if kept { n } else { 0 }]);
        let kept = optimizer.state();
        Update {
            optimizer,
            isa,
            p: Buffer::new(setting, &start),
            start,
            g: Buffer::new(setting, &g),
            state: [state(kept > 0), state(kept > 1)],
            step: 0,
            readers: Readers::Same,
        }
    }

    /// All steps from the start.
    fn steps(&mut self) -> Result<(), Mismatch> {
        self.step = 0;
        self.p.slice_mut().copy_from_slice(&self.start);
        self.state.iter_mut().for_each(|state| state.slice_mut().fill(0.0));
        for _ in 0..STEPS {
            self.run();
        }
        Mismatch::unless_intact(&[&self.p, &self.g, &self.state[0], &self.state[1]])
    }

    fn gradient(g: &Buffer, step: u64, n: usize) -> &[f32] {
        &g.slice()[(step % STEPS) as usize * SHIFT..][..n]
    }
}

impl Work for Update {
    fn run(&mut self) {
        let n = self.start.len();
        let gradient = Update::gradient(&self.g, self.step, n);
        self.step += 1;
        let [first, second] = &mut self.state;
        let state = [first.slice_mut(), second.slice_mut()];
        let p = self.p.slice_mut();
        self.optimizer.at(self.step).update(self.isa, p, gradient, state, self.readers);
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.readers = Readers::Others;
        self.steps()?;
        let for_others = self.p.slice().to_vec();
        self.readers = Readers::Same;
        self.steps()?;
        for (i, (&x, &p)) in for_others.iter().zip(self.p.slice()).enumerate() {
            Mismatch::unless(x.to_bits() == p.to_bits() || x.is_nan() && p.is_nan(), || {
                format!("parameter {i} is {x:e} for others and {p:e} else")
            })?;
        }
        let n = self.start.len();
        let mut accuracy = Accuracy::default();
        for (i, (&start, &p)) in self.start.iter().zip(self.p.slice()).enumerate() {
            let (mut exact, mut state) = (f64::from(start), [0.0; 2]);
            for step in 0..STEPS {
                let g = Update::gradient(&self.g, step, n)[i];
                exact = self.optimizer.oracle(step + 1, exact, g.into(), &mut state);
            }
            let bound = Bound { absolute: BOUND.absolute * exact.abs().max(1.0), ..BOUND };
            accuracy.add(p, exact, bound, || format!("parameter {i} of {n}"))?;
        }
        Ok(accuracy)
    }
}

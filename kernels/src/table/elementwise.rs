//! Activations and their slopes.

use super::{Accuracy, Buffer, Mismatch, Setting, Work};
use crate::simd::Isa;
use crate::unary::{self, Bound, SlopeFrom, Unary};

/// Inputs of an activation: where it bends and where it is flat.
fn inputs(setting: Setting, n: usize) -> Vec<f32> {
    setting.numbers(n as u64, n, |x| 16.0 * x, |_| true)
}

fn check_values(unary: Unary, x: &[f32], y: &[f32]) -> Result<Accuracy, Mismatch> {
    let mut accuracy = Accuracy::default();
    for (&x, &y) in x.iter().zip(y) {
        accuracy.add(y, unary.oracle(x.into()), unary.bounds().0, || format!("f({x:e})"))?;
    }
    Ok(accuracy)
}

/// `slope` is f′(x), or −f′(x) where `sign` says so. At NaN it is nothing in
/// particular: the value is NaN and has been seen.
fn check_slopes(
    unary: Unary,
    x: &[f32],
    slopes: &[f32],
    sign: impl Fn(usize) -> f32,
) -> Result<Accuracy, Mismatch> {
    let mut accuracy = Accuracy::default();
    for (i, (&x, &slope)) in x.iter().zip(slopes).enumerate().filter(|(_, (x, _))| !x.is_nan()) {
        let exact = unary.oracle_slope(x.into());
        accuracy.add(slope * sign(i), exact, unary.bounds().1, || format!("f'({x:e})"))?;
    }
    Ok(accuracy)
}

/// x ← f(x)
pub(super) struct Value {
    unary: Unary,
    isa: Isa,
    inputs: Vec<f32>,
    x: Buffer,
}

impl Value {
    pub(super) fn new(unary: Unary, isa: Isa, n: usize, setting: Setting) -> Self {
        let inputs = inputs(setting, n);
        Value { unary, isa, x: Buffer::new(setting, &inputs), inputs }
    }
}

impl Work for Value {
    fn restore(&mut self) {
        self.x.slice_mut().copy_from_slice(&self.inputs);
    }
    fn restores(&self) -> bool {
        true
    }
    fn run(&mut self) {
        self.unary.apply(self.isa, self.x.slice_mut());
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.x])?;
        check_values(self.unary, &self.inputs, self.x.slice())
    }
}

/// y ← f(x), x ← f′(x)
pub(super) struct ValueAndSlope {
    unary: Unary,
    isa: Isa,
    inputs: Vec<f32>,
    x: Buffer,
    y: Buffer,
}

impl ValueAndSlope {
    pub(super) fn new(unary: Unary, isa: Isa, n: usize, setting: Setting) -> Self {
        let inputs = inputs(setting, n);
        let y = Buffer::new(setting, &vec![0.0; n]);
        ValueAndSlope { unary, isa, x: Buffer::new(setting, &inputs), y, inputs }
    }
}

impl Work for ValueAndSlope {
    fn restore(&mut self) {
        self.x.slice_mut().copy_from_slice(&self.inputs);
    }
    fn restores(&self) -> bool {
        true
    }
    fn run(&mut self) {
        self.unary.apply_keeping_slope(self.isa, self.x.slice_mut(), self.y.slice_mut());
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.x, &self.y])?;
        let values = check_values(self.unary, &self.inputs, self.y.slice())?;
        let slopes = check_slopes(self.unary, &self.inputs, self.x.slice(), |_| 1.0)?;
        // The kernel without the slope gives the same bits; which NaN is free.
        let mut plain = self.inputs.clone();
        self.unary.apply(self.isa, &mut plain);
        let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let same = plain.iter().zip(self.y.slice()).all(|(&a, &b)| same(a, b));
        Mismatch::unless(same, || "f(x) is not what it is without the slope".to_owned())?;
        Ok(values.max(slopes))
    }
}

/// dz ← dz·f′, with dz = ±1.
pub(super) struct Slope {
    unary: Unary,
    isa: Isa,
    inputs: Vec<f32>,
    v: Buffer,
    dz: Buffer,
}

/// ±1 in turn.
fn sign(i: usize) -> f32 {
    if i.is_multiple_of(2) { 1.0 } else { -1.0 }
}

impl Slope {
    pub(super) fn new(unary: Unary, isa: Isa, n: usize, setting: Setting) -> Self {
        let inputs = inputs(setting, n);
        let mut v = inputs.clone();
        if unary.slope_from() == SlopeFrom::Output {
            unary.apply(isa, &mut v);
        }
        let dz: Vec<f32> = (0..n).map(sign).collect();
        Slope { unary, isa, inputs, v: Buffer::new(setting, &v), dz: Buffer::new(setting, &dz) }
    }
}

impl Work for Slope {
    fn restore(&mut self) {
        let dz = self.dz.slice_mut().iter_mut().enumerate();
        dz.for_each(|(i, dz)| *dz = sign(i));
    }
    fn restores(&self) -> bool {
        true
    }
    fn run(&mut self) {
        self.unary.multiply_slope(self.isa, self.v.slice(), self.dz.slice_mut());
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.v, &self.dz])?;
        check_slopes(self.unary, &self.inputs, self.dz.slice(), sign)
    }
}

/// dz ← dz·slope
pub(super) struct Multiply {
    isa: Isa,
    before: Vec<f32>,
    slope: Buffer,
    dz: Buffer,
}

impl Multiply {
    pub(super) fn new(isa: Isa, n: usize, setting: Setting) -> Self {
        let slope = Buffer::new(setting, &setting.numbers(1, n, |x| x, |_| true));
        let before = setting.numbers(2, n, |x| x, |_| true);
        Multiply { isa, slope, dz: Buffer::new(setting, &before), before }
    }
}

impl Work for Multiply {
    fn restore(&mut self) {
        self.dz.slice_mut().copy_from_slice(&self.before);
    }
    fn restores(&self) -> bool {
        true
    }
    fn run(&mut self) {
        unary::multiply(self.isa, self.slope.slice(), self.dz.slice_mut());
    }
    fn check(&mut self) -> Result<Accuracy, Mismatch> {
        self.restore();
        self.run();
        Mismatch::unless_intact(&[&self.slope, &self.dz])?;
        let mut accuracy = Accuracy::default();
        let factors = self.before.iter().zip(self.slope.slice());
        for (&dz, (&before, &slope)) in self.dz.slice().iter().zip(factors) {
            let exact = f64::from(before) * f64::from(slope);
            accuracy.add(dz, exact, Bound::EXACT, || format!("{before:e} * {slope:e}"))?;
        }
        Ok(accuracy)
    }
}

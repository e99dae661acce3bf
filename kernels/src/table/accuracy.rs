//! How far from the exact result, and how far is allowed.

use super::Buffer;
use crate::unary::Bound;
use std::fmt;

/// |computed − exact| in units in the last place of the exact result: of a
/// denormal in units of the smallest one. 0 for the right NaN or infinity,
/// infinite for a wrong one; overflow one step beside its edge is 1.
pub fn ulps(computed: f32, exact: f64) -> f64 {
    if computed.is_nan() && exact.is_nan() {
        return 0.0;
    }
    let rounded = exact as f32;
    if computed == rounded {
        return if rounded.is_infinite() { 0.0 } else { distance(computed, exact) };
    }
    if rounded.is_infinite() || computed.is_infinite() || computed.is_nan() || exact.is_nan() {
        let beside = (rounded.abs() == f32::MAX && computed.is_infinite())
            || (computed.abs() == f32::MAX && rounded.is_infinite());
        return if beside { 1.0 } else { f64::INFINITY };
    }
    distance(computed, exact)
}

fn distance(computed: f32, exact: f64) -> f64 {
    let magnitude = exact.abs().max(f64::from(f32::MIN_POSITIVE));
    // The power of two at or below it, by its bits: logarithms round.
    let power = f64::from_bits(magnitude.to_bits() & 0x7ff0_0000_0000_0000);
    (f64::from(computed) - exact).abs() / (power * f64::from(f32::EPSILON))
}

/// The largest errors of a check.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Accuracy {
    /// In units in the last place, over the elements whose bound is in them
    /// and that are not within an absolute bound already.
    pub ulp: f64,
    /// As a share of what is allowed, at most 1.
    pub share: f64,
}

impl Accuracy {
    /// The larger of both.
    pub fn max(self, other: Accuracy) -> Accuracy {
        Accuracy { ulp: self.ulp.max(other.ulp), share: self.share.max(other.share) }
    }

    /// Adds an element.
    ///
    /// # Errors
    /// Where it is beyond the bound; `what` says which element it is.
    pub(super) fn add(
        &mut self,
        computed: f32,
        exact: f64,
        bound: Bound,
        what: impl FnOnce() -> String,
    ) -> Result<(), Mismatch> {
        let error = ulps(computed, exact);
        if error == 0.0 {
            return Ok(());
        }
        let absolute = (f64::from(computed) - exact).abs();
        let near = absolute <= bound.absolute;
        let share = |error: f64, allowed: f64| match error / allowed {
            share if share.is_nan() => f64::INFINITY,
            share => share,
        };
        let of_bound = share(error, bound.ulp).min(share(absolute, bound.absolute));
        if of_bound > 1.0 {
            let what = what();
            return Err(Mismatch(format!(
                "{what} is {computed:e} and should be {exact:e}: \
                 off by {error:.2} ULP or {absolute:.2e}, \
                 allowed are {} ULP or {:e}",
                bound.ulp, bound.absolute
            )));
        }
        self.share = self.share.max(of_bound);
        if !near {
            self.ulp = self.ulp.max(error);
        }
        Ok(())
    }

    /// Adds a sum in f64, which may be off by `allowed`.
    pub(super) fn add_sum(
        &mut self,
        computed: f64,
        exact: f64,
        allowed: f64,
    ) -> Result<(), Mismatch> {
        let same = computed == exact
            || (computed.is_nan() && exact.is_nan())
            // What is summed in f32 overflows there.
            || (computed.is_infinite() && computed == f64::from(exact as f32));
        if same {
            return Ok(());
        }
        let error = (computed - exact).abs();
        if error.is_nan() || error > allowed {
            return Err(Mismatch(format!(
                "the sum is {computed:e} and should be {exact:e}, allowed is {allowed:e}"
            )));
        }
        self.share = self.share.max(error / allowed);
        Ok(())
    }
}

/// A result that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch(pub(super) String);

impl Mismatch {
    /// What was found where.
    pub(super) fn unless(holds: bool, what: impl FnOnce() -> String) -> Result<(), Mismatch> {
        if holds { Ok(()) } else { Err(Mismatch(what())) }
    }

    /// The canaries round every buffer are there.
    pub(super) fn unless_intact(buffers: &[&Buffer]) -> Result<(), Mismatch> {
        match buffers.iter().find_map(|buffer| buffer.trespass()) {
            None => Ok(()),
            Some(at) => Err(Mismatch(format!("a kernel wrote beside its slice, at element {at}"))),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::{Accuracy, ulps};
    use crate::unary::Bound;

    #[test]
    fn errors_are_counted_in_units_of_the_exact_result() {
        assert_eq!(ulps(1.0 + f32::EPSILON, 1.0), 1.0);
        assert_eq!(ulps(1.0, 1.0 + f64::from(f32::EPSILON) / 4.0), 0.25);
        assert_eq!(ulps(f32::from_bits(3), 0.0), 3.0);
        assert_eq!(ulps(f32::NAN, f64::NAN), 0.0);
        assert_eq!(ulps(f32::NAN, 1.0), f64::INFINITY);
        assert_eq!(ulps(1.0, f64::NAN), f64::INFINITY);
        assert_eq!(ulps(f32::INFINITY, 1e300), 0.0);
        assert_eq!(ulps(f32::NEG_INFINITY, 1e300), f64::INFINITY);
        assert_eq!(ulps(f32::INFINITY, f32::MAX.into()), 1.0);
        assert_eq!(ulps(f32::MAX, f64::INFINITY), 1.0);
        assert_eq!(ulps(0.0, f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn either_bound_will_do_and_none_is_exceeded() {
        let within = |x: f32, exact: f64, bound: Bound| {
            Accuracy::default().add(x, exact, bound, String::new).is_ok()
        };
        assert!(within(1.000_001, 1.0, Bound::ulp(8.5)));
        assert!(!within(1.000_001, 1.0, Bound::ulp(7.5)));
        assert!(within(1.000_001, 1.0, Bound::ulp_or(0.0, 1e-6)));
        assert!(!within(1.000_001, 1.0, Bound::ulp_or(0.0, 9e-7)));
        assert!(!within(f32::NAN, 1.0, Bound::ulp_or(1e9, 1e9)));
        assert!(!within(1.0, f64::NAN, Bound::ulp_or(1e9, 1e9)));
        let sum = |x: f64, exact: f64| Accuracy::default().add_sum(x, exact, 1.0).is_ok();
        assert!(sum(1.0, 2.0) && sum(f64::INFINITY, 1e60) && sum(f64::NAN, f64::NAN));
        assert!(!sum(1.0, 2.1) && !sum(f64::NAN, 1.0) && !sum(1.0, f64::NAN));
        assert!(!sum(f64::INFINITY, 1.0) && !sum(1.0, f64::INFINITY));
    }
}

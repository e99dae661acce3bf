//! Random numbers: one list of what they are for.

use rand_pcg::Pcg64;

/// What random numbers are for: every use has a stream of its own, so that
/// one more use does not change the others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Initial parameters.
    Init = 1,
    /// The split into training and validation rows.
    Split = 2,
    /// The order of rows; the epoch is added to the seed's other half.
    Shuffle = 3,
}

/// The generator of a seed's stream.
pub(crate) fn random(seed: u64, stream: Stream) -> Pcg64 {
    Pcg64::new(u128::from(seed), stream as u128)
}

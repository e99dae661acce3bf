//! Random numbers: one list of what they are for.

use rand::Rng;
use rand_pcg::Pcg64;

/// What random numbers are for: every use has a stream of its own, so that
/// one more use does not change the others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// Initial parameters.
    Init,
    /// The split into training and validation rows.
    Split,
    /// The order of the rows in an epoch.
    Shuffle {
        /// Its number, counted from 0.
        epoch: usize,
    },
}

/// The generator of a seed's stream.
pub(crate) fn random(seed: u64, stream: Stream) -> Pcg64 {
    let stream: u64 = match stream {
        Stream::Init => 1,
        Stream::Split => 2,
        Stream::Shuffle { epoch } => 3 + epoch as u64,
    };
    // Neighbouring states and streams of this generator are alike at first:
    // both are mixed before they become its state.
    let state = u128::from(mix(seed)) << 64 | u128::from(mix(seed ^ mix(stream)));
    Pcg64::new(state, u128::from(stream))
}

/// SplitMix64's output function (Steele, Lea and Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Puts numbers into a random order: Fisher and Yates by hand, since a seed's
/// splits and orders must outlive the shuffles of libraries.
pub(crate) fn shuffle(numbers: &mut [u32], random: &mut Pcg64) {
    for i in (1..numbers.len()).rev() {
        // 64 random bits times the range: biased by less than range/2⁶⁴.
        let j = (u128::from(random.next_u64()) * (i as u128 + 1)) >> 64;
        numbers.swap(i, j as usize);
    }
}

//! How parameters start.

use crate::check::model::{DenseShape, Init, Network};
use crate::random::{Stream, random};
use rand::Rng;
use rand::distr::{Distribution, Uniform};
use rand_distr::Normal;

/// Initial parameters for a seed, laid out as [`Network::tensors`] says:
/// the same seed gives the same bits on every machine.
pub fn initial_parameters(network: &Network, seed: u64) -> Vec<f32> {
    let mut random = random(seed, Stream::Init);
    let mut parameters = Vec::with_capacity(network.parameters());
    for category in &network.categories {
        let spread = Spread::Uniform(EMBEDDING_LIMIT);
        sample(spread, category.parameters(), &mut random, &mut parameters);
    }
    for layer in &network.layers {
        let weights = layer.outputs * layer.inputs;
        let spread = spread(layer);
        sample(spread, weights, &mut random, &mut parameters);
        if layer.bias {
            match (layer.init, spread) {
                (Init::Torch, _) => sample(spread, layer.outputs, &mut random, &mut parameters),
                _ => parameters.extend(std::iter::repeat_n(0.0, layer.outputs)),
            }
        }
    }
    parameters
}

/// The embeddings' weights start evenly between −this and this, as Keras's
/// `Embedding` does: their inputs are small beside standardised numbers, until
/// they have learnt something.
const EMBEDDING_LIMIT: f64 = 0.05;

/// What weights are drawn from.
#[derive(Debug, Clone, Copy)]
enum Spread {
    /// Evenly between −limit and limit.
    Uniform(f64),
    /// Normally, with mean 0 and this standard deviation.
    Normal(f64),
}

fn spread(layer: &DenseShape) -> Spread {
    let (inputs, outputs) = (layer.inputs as f64, layer.outputs as f64);
    match layer.init {
        Init::GlorotUniform => Spread::Uniform((6.0 / (inputs + outputs)).sqrt()),
        Init::GlorotSigmoid => Spread::Uniform(4.0 * (6.0 / (inputs + outputs)).sqrt()),
        Init::GlorotNormal => Spread::Normal((2.0 / (inputs + outputs)).sqrt()),
        Init::HeUniform => Spread::Uniform((6.0 / inputs).sqrt()),
        Init::HeNormal => Spread::Normal((2.0 / inputs).sqrt()),
        Init::LecunNormal => Spread::Normal((1.0 / inputs).sqrt()),
        Init::Torch => Spread::Uniform(1.0 / inputs.sqrt()),
    }
}

fn sample(spread: Spread, count: usize, random: &mut impl Rng, to: &mut Vec<f32>) {
    match spread {
        Spread::Uniform(limit) => {
            let uniform = Uniform::new_inclusive(-limit, limit).expect("a finite, positive limit");
            to.extend((0..count).map(|_| uniform.sample(random) as f32));
        }
        Spread::Normal(deviation) => {
            let normal = Normal::new(0.0, deviation).expect("a finite, positive deviation");
            to.extend((0..count).map(|_| normal.sample(random) as f32));
        }
    }
}

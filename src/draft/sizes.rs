//! Network and training by the size of the table.

/// How large the network is and how it is trained.
pub(super) struct Sizes {
    pub(super) units: Vec<usize>,
    pub(super) activation: &'static str,
    pub(super) optimizer: &'static str,
    pub(super) epochs: usize,
    pub(super) batch: usize,
    /// 0: no row is held out.
    pub(super) validation: f64,
    pub(super) patience: usize,
    /// 0: none.
    pub(super) label_smoothing: f64,
    pub(super) why_network: String,
    pub(super) why_training: String,
}

/// Inputs from which on there are so many that they are pixels or the like.
const MANY_INPUTS: usize = 256;

/// A text that nobody has asked to wait for ends within this many products of
/// a parameter and a row, which is some ten seconds of one core.
const MOST_WORK: f64 = 1e11;

/// Fewer epochs than this teach nothing, whatever they take.
const FEWEST_EPOCHS: usize = 10;

impl Sizes {
    /// `inputs` is about what the columns become; `classes` says that the
    /// target is one of several.
    pub(super) fn of(rows: usize, inputs: usize, classes: bool) -> Sizes {
        let (mut units, epochs, mut batch, validation, mut patience) = match rows {
            ..50 => (vec![16], 1000, 8, 0.0, 0),
            50..1_000 => (vec![64], 200, 16, 0.0, 0),
            1_000..10_000 => (vec![64, 64], 300, 32, 0.1, 30),
            10_000..100_000 => (vec![128, 64], 200, 64, 0.1, 10),
            100_000..1_000_000 => (vec![128, 128], 100, 256, 0.1, 10),
            _ => (vec![256, 128], 50, 1024, 0.05, 5),
        };
        if inputs >= MANY_INPUTS && rows >= 10_000 {
            // An epoch takes long and teaches much.
            (batch, patience) = (batch.max(128), patience.min(5));
        } else if inputs >= MANY_INPUTS && rows >= 1_000 {
            // Many inputs, such as pixels, need a wide first layer.
            units[0] = units[0].max(128);
        }
        let parameters: usize =
            std::iter::once(&inputs).chain(&units).zip(&units).map(|(a, b)| a * b).sum();
        let affordable = MOST_WORK / (rows as f64 * parameters.max(1) as f64);
        let epochs = epochs.min(affordable as usize).max(FEWEST_EPOCHS.min(epochs));

        // Few rows: a smooth function through them, and no corners between.
        let activation = if rows < 1_000 { "tanh" } else { "relu" };
        let optimizer = match rows {
            ..50 => "adam 0.02",
            _ => "adamw 0.001 weight_decay=0.1",
        };
        let label_smoothing = if classes && rows >= 1_000 { 0.1 } else { 0.0 };
        let layers = match units.len() {
            1 => "one hidden layer".to_owned(),
            n => format!("{n} hidden layers"),
        };
        let mut why_network = format!(
            "{rows} rows of about {inputs} inputs: {layers}; wider ones learn more, and more by heart."
        );
        if label_smoothing > 0.0 {
            why_network.push_str(
                " Label smoothing keeps it from being sure where rows contradict each other.",
            );
        }
        let why_training = match validation {
            0.0 => "So few rows are all needed to learn from: none is held out, and training ends after `epochs`.".to_owned(),
            _ => format!(
                "Every epoch is checked on {} % of the rows, which are held out: training stops once {patience} epochs have not lowered their loss, and the best one is kept.",
                validation * 100.0
            ),
        };
        Sizes {
            units,
            activation,
            optimizer,
            epochs,
            batch,
            validation,
            patience,
            label_smoothing,
            why_network,
            why_training,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sizes;

    #[test]
    fn much_work_is_cut_short() {
        let small = Sizes::of(16_000, 13, false);
        assert_eq!((small.epochs, small.batch, small.patience), (200, 64, 10));
        // Images: an epoch is worth more, and takes longer.
        let images = Sizes::of(60_000, 784, true);
        assert_eq!((images.batch, images.patience), (128, 5));
        assert!((10..20).contains(&images.epochs), "{}", images.epochs);
        assert_eq!(Sizes::of(10_000_000, 784, true).epochs, 10);
    }
}

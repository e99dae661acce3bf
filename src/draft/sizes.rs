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
    pub(super) why_network: String,
    pub(super) why_training: String,
}

impl Sizes {
    /// `inputs` is about what the columns become.
    pub(super) fn of(rows: usize, inputs: usize) -> Sizes {
        let (units, epochs, batch, validation, patience) = match rows {
            ..50 => (vec![16], 1000, 8, 0.0, 0),
            50..1_000 => (vec![64], 300, 16, 0.2, 40),
            1_000..10_000 => (vec![64, 64], 300, 32, 0.2, 30),
            10_000..100_000 => (vec![128, 64], 200, 64, 0.1, 15),
            100_000..1_000_000 => (vec![128, 128], 100, 256, 0.1, 10),
            _ => (vec![256, 128], 50, 1024, 0.05, 5),
        };
        // Many inputs, such as pixels, need a wide first layer.
        let units = match inputs {
            256.. if rows >= 1_000 => {
                std::iter::once(units[0].max(256)).chain(units[1..].iter().copied()).collect()
            }
            _ => units,
        };
        let activation = if rows < 50 { "tanh" } else { "relu" };
        let optimizer = match rows {
            ..50 => "adam 0.02",
            _ => "adam 0.001",
        };
        let layers = match units.len() {
            1 => "one hidden layer".to_owned(),
            n => format!("{n} hidden layers"),
        };
        let why_network = format!(
            "{rows} rows of about {inputs} inputs: {layers}; wider ones learn more, and more by heart."
        );
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
            why_network,
            why_training,
        }
    }
}

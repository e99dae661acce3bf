//! Serving: a trained model, from raw rows or encoded features to outputs.

use crate::check::Limits;
use crate::check::model::Network;
use crate::data::Schema;
use crate::diag::Diagnostics;
use crate::exec::Predict;
use crate::file::{StoredModel, golden, load};
use crate::inputs::Features;
use crate::plan::{Plan, PlanOptions};
use std::path::Path;
use std::sync::Arc;

/// A trained network, ready to predict.
///
/// It is `Send + Sync`; a clone shares everything with the original. After
/// the first call a prediction allocates nothing, unless more calls run at
/// once than ever before.
///
/// ```
/// use mlpc::check::Limits;
/// use mlpc::plan::PlanOptions;
/// use mlpc::Predictor;
///
/// let model = mlpc::compile("input 2 -> dense 1 bias=false")?;
/// let network = model.network(None, None, &Limits::default())?;
/// // The weights of the one layer, [out, in].
/// let predictor = Predictor::new(&network, vec![2.0, -1.0], PlanOptions::default());
///
/// let mut outputs = [0.0; 3];
/// predictor.predict(&[1.0, 0.0, 0.0, 1.0, 3.0, 4.0], &mut outputs);
/// assert_eq!(outputs, [2.0, -1.0, 2.0]);
/// # Ok::<(), mlpc::diag::Diagnostics>(())
/// ```
#[derive(Debug, Clone)]
pub struct Predictor {
    predict: Predict,
    stored: Arc<Stored>,
}

/// What a model file says beside the parameters.
#[derive(Debug, Default)]
struct Stored {
    text: String,
    schema: Option<Schema>,
    metrics: Option<serde_json::Value>,
}

impl Predictor {
    /// A predictor of a network with these parameters, laid out as
    /// [`Network::tensors`] says.
    ///
    /// # Panics
    /// Where the parameters are not as many as the network's.
    pub fn new(network: &Network, parameters: Vec<f32>, options: PlanOptions) -> Self {
        let predict = Predict::new(Plan::new(network, options), parameters);
        Predictor { predict, stored: Arc::default() }
    }

    /// Loads a model file and re-checks its golden rows.
    ///
    /// # Errors
    /// Where the file cannot be read, is no model of a version that this
    /// program knows, or does not reproduce its golden rows.
    pub fn load(path: &Path, options: PlanOptions) -> Result<Self, Diagnostics> {
        let StoredModel { text, schema, metrics, golden, tensors } = load(path)?;
        let layout = schema.as_ref().map(Schema::layout);
        let network = crate::compile(&text)?.network(layout.as_ref(), None, &Limits::default())?;
        let stored = StoredModel { text, schema, metrics, golden, tensors };
        let parameters = stored.parameters(&network.tensors(), path)?;
        let predict = Predict::new(Plan::new(&network, options), parameters);
        let StoredModel { text, schema, metrics, golden, .. } = stored;
        if let Some(schema) = &schema {
            golden::check(&golden, schema, |features| {
                let mut outputs = vec![0.0; network.outputs()];
                predict.predict(features, &mut outputs);
                outputs
            })?;
        }
        Ok(Predictor { predict, stored: Arc::new(Stored { text, schema, metrics }) })
    }

    /// Inputs of the first layer, those of categories counted.
    pub fn inputs(&self) -> usize {
        self.predict.plan().inputs
    }

    /// Outputs of a row.
    pub fn outputs(&self) -> usize {
        self.predict.plan().outputs
    }

    /// How raw rows become features and outputs become predictions; none for
    /// a network that was not trained on a table.
    pub fn schema(&self) -> Option<&Schema> {
        self.stored.schema.as_ref()
    }

    /// The model's text, with every default resolved; empty for a predictor
    /// that was not loaded.
    pub fn text(&self) -> &str {
        &self.stored.text
    }

    /// The metrics that were saved with the model, as JSON.
    pub fn metrics(&self) -> Option<&serde_json::Value> {
        self.stored.metrics.as_ref()
    }

    /// Predicts rows of encoded features into `[rows, outputs]`, row-major, on
    /// the calling thread. Features are what [`Encoder`](crate::data::Encoder)
    /// makes of a table's rows; those of a network without categories are a
    /// matrix `[rows, inputs]`, row-major.
    ///
    /// # Panics
    /// Where `outputs` has not room for a whole number of rows, `features` has
    /// another number of them, or a code is beyond its category's levels.
    pub fn predict<'a>(&self, features: impl Into<Features<'a>>, outputs: &mut [f32]) {
        self.predict.predict(features, outputs);
    }

    /// The same on the threads of the current rayon pool, where that pays;
    /// the result is the same bits.
    ///
    /// # Panics
    /// As [`Predictor::predict`].
    pub fn predict_parallel<'a>(&self, features: impl Into<Features<'a>>, outputs: &mut [f32]) {
        self.predict.predict_parallel(features, outputs);
    }
}

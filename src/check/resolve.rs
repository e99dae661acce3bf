//! A model and the data's widths to a network.

use super::model::{Activation, DenseShape, Layer, Model, Network, Width};
use super::{Limits, size};
use crate::diag::{Code, Diagnostic, Diagnostics, Errors, Span};
use crate::inputs::Layout;

impl Model {
    /// The network with every width known: those that the text leaves to the
    /// data are those of `inputs` and `outputs`, where a data set gives them.
    /// Without one, the inputs are a matrix.
    pub fn network(
        &self,
        inputs: Option<&Layout>,
        outputs: Option<usize>,
        limits: &Limits,
    ) -> Result<Network, Diagnostics> {
        let mut errors = Errors::default();
        let mut take = |side: &Side, width: Width, data: Option<usize>, span: Span| match side
            .width(width, data, span)
        {
            Ok(width) => Some(width),
            Err(error) => {
                errors.push(error);
                None
            }
        };
        let Layer::Dense(last) = self.layers.last().expect("a model has at least one layer");
        let input = take(&INPUT, self.input, inputs.map(Layout::inputs), self.input_span);
        let output = take(&OUTPUT, last.units, outputs, last.span);
        if last.activation == Activation::Softmax && output == Some(1) {
            errors.push(
                Diagnostic::error(Code::DataShape, "the data's target has one class")
                    .at(last.span, "`softmax` needs at least 2")
                    .help("for two classes in one column of 0 and 1, write `dense 1 sigmoid`"),
            );
        }
        if let (None, Some((name, _))) = (inputs, self.data.embedding.first()) {
            let what = format!("the levels of `{name}`, which is embedded, are unknown");
            errors.push(
                Diagnostic::error(Code::NeedsData, what)
                    .at(self.input_span, "part of these inputs")
                    .help("name a data file: its levels are the embedding's rows"),
            );
        }
        if let (Some(_), Some(_)) = (input, output) {
            errors.extend(size::check(self, inputs, input, output, limits));
        }
        let (Some(width), Some(outputs), true) = (input, output, errors.is_empty()) else {
            return Err(Diagnostics::none_of(errors.into_list(), || ())
                .expect_err("a width is unknown only where an error says why"));
        };
        let mut before = width;
        let layers = self.layers.iter().map(|Layer::Dense(dense)| {
            let units = match dense.units {
                Width::Units(units) => units,
                // On the last layer alone.
                Width::Auto => outputs,
            };
            let shape = DenseShape {
                inputs: before,
                outputs: units,
                activation: dense.activation,
                bias: dense.bias,
                init: dense.init,
            };
            before = units;
            shape
        });
        let layers = layers.collect();
        let categories = inputs.map_or_else(Vec::new, |layout| layout.categories.clone());
        let (loss, optimizer) = (self.loss, self.optimizer);
        Ok(Network { inputs: width, categories, layers, loss, optimizer })
    }
}

/// An end of the network that data meets.
struct Side {
    takes: &'static str,
    has: &'static str,
    word: &'static str,
}

const INPUT: Side = Side { takes: "the network takes", has: "input", word: "input" };
const OUTPUT: Side = Side { takes: "the network gives", has: "output", word: "dense" };

impl Side {
    fn width(&self, width: Width, data: Option<usize>, span: Span) -> Result<usize, Diagnostic> {
        let Side { takes, has, word } = self;
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        match (width, data) {
            (Width::Units(units), Some(data)) if units != data => Err(Diagnostic::error(
                Code::DataShape,
                format!("{takes} {units} {has}{}, the data has {data}", plural(units)),
            )
            .at(span, format!("expected a width of {data}"))
            .help(format!("write `{word} {data}`, or `{word} auto` to take it from the data"))),
            (Width::Auto, Some(0)) => {
                Err(Diagnostic::error(Code::DataShape, format!("the data has no {has}s"))
                    .at(span, "expected at least one"))
            }
            (Width::Units(width), _) | (Width::Auto, Some(width)) => Ok(width),
            (Width::Auto, None) => Err(Diagnostic::error(
                Code::NeedsData,
                format!("the number of {has}s is `auto`, and there is no data"),
            )
            .at(span, "unknown without data")
            .help(format!("name a data file, or write a number, as in `{word} 4`"))),
        }
    }
}

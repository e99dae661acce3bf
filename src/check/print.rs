//! A model as text: canonical, every default written out, so that it means
//! the same to a version with other defaults.

use super::model::{
    Activation, DenseShape, Layer, Loss, Model, Network, Optimizer, Scale, Unary, Width,
};
use super::options::{DATA, Entry, TRAIN};
use mlpc_kernels::hyper::{Hyper, Range, Values};
use std::fmt::{self, Write};

impl Model {
    /// The text of this model, one statement a line.
    pub fn to_text(&self) -> String {
        let width = |width: Width| match width {
            Width::Auto => "auto".to_owned(),
            Width::Units(units) => units.to_string(),
        };
        let mut out = format!("input {}", width(self.input));
        for Layer::Dense(dense) in &self.layers {
            let (activation, bias, init) = (dense.activation.name(), dense.bias, dense.init.name());
            let _ = write!(
                out,
                " -> dense {} {activation} bias={bias} init={init}",
                width(dense.units)
            );
        }
        out.push('\n');
        self.write_rest(&mut out);
        out
    }

    /// The text of this model with the widths that the data gave it, and
    /// with the choice of `target_scale` that follows from its output.
    pub fn resolved_text(&self, network: &Network) -> String {
        let mut model = self.clone();
        model.input = Width::Units(network.inputs);
        for (Layer::Dense(dense), shape) in model.layers.iter_mut().zip(&network.layers) {
            dense.units = Width::Units(shape.outputs);
        }
        let linear = self.output_activation() == Activation::Unary(Unary::Linear);
        let scale = if linear { Scale::Standard } else { Scale::None };
        model.data.target_scale.get_or_insert(scale);
        model.to_text()
    }

    /// The canonical text and, where the widths are known, a table of the
    /// layers with their parameters.
    pub fn describe(&self, network: Option<&Network>) -> String {
        let Some(network) = network else { return self.to_text() };
        let mut out = self.resolved_text(network);
        let activations = network.layers.iter().map(|layer| layer.activation.name().len());
        let wide = activations.max().unwrap_or(0).max("activation".len());
        let _ = writeln!(
            out,
            "\nlayer {:>8} {:>8}  {:<wide$} {:>12}",
            "in", "out", "activation", "parameters"
        );
        for (i, layer) in network.layers.iter().enumerate() {
            let DenseShape { inputs, outputs, activation, .. } = layer;
            let (name, parameters) = (activation.name(), layer.parameters());
            let _ =
                writeln!(out, "{i:<5} {inputs:>8} {outputs:>8}  {name:<wide$} {parameters:>12}");
        }
        let _ =
            writeln!(out, "total {:>8} {:>8}  {:<wide$} {:>12}", "", "", "", network.parameters());
        out
    }

    fn write_rest(&self, out: &mut String) {
        let Loss { kind, hyper } = &self.loss;
        let _ = writeln!(out, "loss {}{}", kind.name(), hypers(kind.hypers(), hyper));
        let Optimizer { kind, rate, hyper } = &self.optimizer;
        let _ = writeln!(out, "{} {}{}", kind.name(), number(*rate), hypers(kind.hypers(), hyper));
        write_options(out, "train", TRAIN, &self.train);
        write_options(out, "data", DATA, &self.data);
    }
}

impl fmt::Display for Model {
    /// [`Model::to_text`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

fn write_options<T>(out: &mut String, statement: &str, table: &[Entry<T>], from: &T) {
    out.push_str(statement);
    for entry in table {
        if let Some(value) = entry.print(from) {
            let _ = write!(out, " {}={value}", entry.name);
        }
    }
    out.push('\n');
}

fn hypers(table: &[Hyper], values: &Values) -> String {
    let mut out = String::new();
    for (hyper, value) in table.iter().zip(values) {
        let value = match hyper.range {
            Range::Flag => (*value != 0.0).to_string(),
            _ => number(*value),
        };
        let _ = write!(out, " {}={value}", hyper.name);
    }
    out
}

/// The shortest text that reads back as this number.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) { format!("{x:e}") } else { x.to_string() }
}

//! What must go together: the last layer and the loss, the lists of columns.

use super::model::{Activation, Layer, LossKind, Unary, Width};
use super::network::Shape;
use crate::diag::{Code, Diagnostic, Errors, Span};
use crate::syntax::ast::{Arg, Atom, Stage};

/// Whether the loss, where the text gives one, goes with the output.
pub(super) fn output(network: &Shape, loss: Option<(LossKind, Span)>, errors: &mut Errors) {
    let Some(Layer::Dense(last)) = network.layers.last() else { return };
    let sigmoid = last.activation == Activation::Unary(Unary::Sigmoid);
    let linear = last.activation == Activation::Unary(Unary::Linear);
    let softmax = last.activation == Activation::Softmax;
    let single = last.units == Width::Units(1);
    let units = match last.units {
        Width::Auto => "auto".to_owned(),
        Width::Units(units) => units.to_string(),
    };
    let name = last.activation.name();
    if softmax && single {
        errors.push(
            Diagnostic::error(Code::Conflict, "`softmax` over one output is always 1")
                .at(last.span, "this layer is 1 wide")
                .help("for two classes write `dense 1 sigmoid` and `loss bce`; for more, one output a class"),
        );
        return;
    }
    let Some((kind, loss_span)) = loss else { return };
    let (message, help) = match kind {
        LossKind::CrossEntropy if !softmax && single => (
            format!("`cross_entropy` needs one output a class, and this is one {name} output"),
            "for two classes write `dense 1 sigmoid` and `loss bce`; for more, `softmax` with one output a class".to_owned(),
        ),
        LossKind::CrossEntropy if !softmax => (
            format!("`cross_entropy` needs `softmax`, not {name} outputs"),
            format!("write `dense {units} softmax`"),
        ),
        LossKind::Bce if !sigmoid => (
            format!("`bce` needs `sigmoid`, not {} outputs", if linear { "linear" } else { name }),
            if softmax {
                "use `loss cross_entropy`, which goes with softmax".to_owned()
            } else {
                format!("write `dense {units} sigmoid`")
            },
        ),
        kind if softmax && kind != LossKind::CrossEntropy => (
            format!("`softmax` goes with `cross_entropy`, not with `{}`", kind.name()),
            "write `loss cross_entropy`, or leave the loss out".to_owned(),
        ),
        _ => return,
    };
    errors.push(
        Diagnostic::error(Code::Conflict, message)
            .at(last.span, format!("the output is {name}"))
            .at(loss_span, "the loss is given here")
            .help(help),
    );
}

/// Pairs of lists that must not share a column, and why.
const APART: &[(&str, &str, &str)] = &[
    ("target", "drop", "a target cannot be left out"),
    ("only", "drop", "a column is either kept or left out"),
    ("target", "split", "the target cannot say which rows train"),
    ("target", "group", "a group is more than the rows of one target"),
    ("only", "split", "the column that says which rows train is no input"),
    ("only", "group", "the column of the groups is no input"),
    ("split", "group", "`split` already says on which side each row is"),
    ("categorical", "numeric", "a column is either categories or numbers"),
];

/// Whether the lists of a `data` statement contradict each other.
pub(super) fn columns(stage: &Stage, errors: &mut Errors) {
    let atoms = |option: &str| -> &[Atom] {
        let given = stage.args.iter().find_map(|arg| match arg {
            Arg::Named(name, value) if name.value == option => Some(value),
            _ => None,
        });
        given.map_or(&[], |value| &value.atoms)
    };
    for (one, other, why) in APART {
        let firsts: std::collections::HashMap<&str, &Atom> =
            atoms(one).iter().map(|atom| (atom.text.as_str(), atom)).collect();
        for atom in atoms(other) {
            let Some(first) = firsts.get(atom.text.as_str()) else { continue };
            errors.push(
                Diagnostic::error(
                    Code::Conflict,
                    format!("the column {atom} stands in `{one}` and in `{other}`"),
                )
                .at(atom.span, format!("`{other}` names it here"))
                .at(first.span, format!("`{one}` names it here"))
                .help(format!("{why}: remove it from one of them")),
            );
        }
    }
}

//! The network's chain: layers, their widths and activations.

use super::model::{Activation, Dense, Init, Layer, Unary, Width};
use super::read::{self, extra, named, refused};
use super::suggest;
use crate::diag::{Code, Diagnostic, Errors, Span};
use crate::syntax::ast::{Arg, AtomKind, Chain, Stage, Value};
use mlpc_kernels::unary::Spread;

/// The word that a network starts with.
pub(super) const INPUT: &str = "input";

/// The words that stages of a network start with: `input`, then layers.
pub(super) const LAYERS: &[&str] = &[INPUT, "dense", "repeat"];

/// How many layers a network may have, repeated ones counted.
const MAX_LAYERS: usize = 4096;

/// What the options of `dense` are.
const DENSE_OPTIONS: &[&str] = &["bias", "init"];

const WIDTH: &str = " or `auto`";

/// A network that was read; its output is judged together with the loss.
pub(super) struct Shape {
    pub(super) input: Width,
    pub(super) input_span: Span,
    pub(super) layers: Vec<Layer>,
}

/// Reads a network; `None` where it has errors.
pub(super) fn read(chain: &Chain, errors: &mut Errors) -> Option<Shape> {
    let mut reader = Reader { errors, sound: !chain.broken, with_init: Vec::new() };
    let first = &chain.stages[0];
    let starts = first.name.value == INPUT;
    let mut input = None;
    if starts {
        input = reader.input(first);
        if chain.stages.len() == 1 && reader.sound && !first.broken {
            reader.fail(
                Diagnostic::error(Code::MissingValue, "the network has no layers")
                    .at(first.span, "expected `->` and a layer after it")
                    .help("add one, as in `input 2 -> dense 1`"),
            );
        }
    } else if !chain.broken {
        reader.fail(
            Diagnostic::error(Code::MissingStatement, "the network does not start with `input`")
                .at(first.name.span, "expected `input` before it")
                .help("write `input auto -> …` to take the width from the data"),
        );
    }
    let mut layers = reader.layers(&chain.stages[usize::from(starts)..]);
    reader.inner_layers(&layers);
    reader.default_inits(&mut layers);
    let (input, input_span) = input?;
    reader.sound.then_some(Shape { input, input_span, layers })
}

struct Reader<'e> {
    errors: &'e mut Errors,
    sound: bool,
    /// The layers whose text names their init.
    with_init: Vec<Span>,
}

impl Reader<'_> {
    fn fail(&mut self, error: Diagnostic) {
        self.sound = false;
        self.errors.push(error);
    }

    fn take<T>(&mut self, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|error| self.fail(error)).ok()
    }

    /// The options of a stage; none is taken where one is wrong.
    fn named<'s>(&mut self, stage: &'s Stage, known: &[&str]) -> Vec<(&'s str, &'s Value)> {
        let mut found = Errors::default();
        let options = named(stage, known, &mut found);
        self.sound &= found.is_empty();
        self.errors.extend(found.into_list());
        options.into_iter().map(|(name, value)| (name.value.as_str(), value)).collect()
    }

    fn input(&mut self, stage: &Stage) -> Option<(Width, Span)> {
        self.sound &= !stage.broken;
        self.named(stage, &[]);
        let mut args = stage.args.iter().filter(|arg| !matches!(arg, Arg::Named(..)));
        let Some(first) = args.next() else {
            if !stage.broken {
                self.fail(
                    Diagnostic::error(Code::MissingValue, "`input` has no width")
                        .at(stage.name.span, "expected the number of features after it")
                        .help("write `input auto` to take it from the data"),
                );
            }
            self.sound = false;
            return None;
        };
        for arg in args {
            self.fail(extra(stage, arg, "`input` takes one width; layers follow after `->`"));
        }
        let Arg::Value(value) = first else {
            self.fail(extra(stage, first, "`input` takes a width"));
            return None;
        };
        let width = self.width("the width of `input`", value)?;
        Some((width, value.span))
    }

    fn width(&mut self, what: &str, value: &Value) -> Option<Width> {
        if value.word() == Some("auto") {
            return Some(Width::Auto);
        }
        let read = read::count(what, value, 1, WIDTH).and_then(|units| {
            usize::try_from(units).map_err(|_| refused(what, value, "a width that fits memory"))
        });
        self.take(read).map(Width::Units)
    }

    fn layers(&mut self, stages: &[Stage]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for stage in stages {
            self.sound &= !stage.broken;
            match stage.name.value.as_str() {
                "dense" => layers.extend(self.dense(stage).map(Layer::Dense)),
                "repeat" => layers.extend(self.repeat(stage)),
                INPUT => self.fail(
                    Diagnostic::error(Code::Repeated, "`input` stands within the network")
                        .at(stage.name.span, "expected a layer")
                        .help("a network has one input, at its start"),
                ),
                other => {
                    let mut error =
                        read::unknown("layer", "layers", other, stage.name.span, &LAYERS[1..]);
                    if Activation::parse(other).is_some() {
                        error =
                            error.help(format!("an activation follows a width: `dense 8 {other}`"));
                    }
                    self.fail(error);
                }
            }
            if layers.len() > MAX_LAYERS {
                self.too_many(stage.span, layers.len() as u64);
                layers.truncate(1);
                break;
            }
        }
        layers
    }

    fn too_many(&mut self, span: Span, layers: u64) {
        self.fail(
            Diagnostic::error(Code::BadValue, format!("the network has {layers} layers"))
                .at(span, format!("expected at most {MAX_LAYERS}, repeated ones counted")),
        );
    }

    fn dense(&mut self, stage: &Stage) -> Option<Dense> {
        let mut positional = stage.args.iter().filter(|arg| !matches!(arg, Arg::Named(..)));
        let units = match positional.next() {
            Some(Arg::Value(value)) => self.units(value, positional.clone().next()),
            Some(group) => {
                self.fail(extra(stage, group, "a group follows `repeat`"));
                None
            }
            None => {
                if !stage.broken {
                    self.fail(
                        Diagnostic::error(Code::MissingValue, "`dense` has no width")
                            .at(stage.name.span, "expected the number of outputs after it")
                            .help("as in `dense 8 relu`; `dense auto` takes it from the target"),
                    );
                }
                None
            }
        };
        let (units, swapped) = match units {
            Some((units, swapped)) => (Some(units), swapped),
            None => (None, false),
        };
        let mut activation = Activation::Unary(Unary::Linear);
        if !swapped && let Some(arg) = positional.next() {
            activation = self.activation(stage, arg).unwrap_or(activation);
            for arg in positional {
                let help = "`dense` takes a width and one activation, as in `dense 8 relu`";
                self.fail(extra(stage, arg, help));
            }
        }
        let mut bias = true;
        let mut init = default_init(None, activation);
        for (name, value) in self.named(stage, DENSE_OPTIONS) {
            match name {
                "bias" => bias = self.take(read::flag("`bias`", value)).unwrap_or(bias),
                _ => {
                    let names: Vec<_> = Init::ALL.iter().map(|init| init.name()).collect();
                    match value.word().and_then(Init::parse) {
                        Some(known) => {
                            init = known;
                            self.with_init.push(stage.span);
                        }
                        None => {
                            let word = value.to_string();
                            self.fail(read::unknown("init", "inits", &word, value.span, &names));
                        }
                    }
                }
            }
        }
        Some(Dense { units: units?, activation, bias, init, span: stage.span })
    }

    /// The width, and whether it is only a guess because the arguments are in
    /// the wrong order.
    fn units(&mut self, value: &Value, next: Option<&Arg>) -> Option<(Width, bool)> {
        let word = value.word().filter(|word| *word != "auto");
        let Some(word) = word else {
            return Some((self.width("the width of `dense`", value)?, false));
        };
        let number = match next {
            Some(Arg::Value(next)) => next
                .single()
                .filter(|atom| matches!(atom.kind, AtomKind::Number(_)))
                .map(|atom| atom.text.as_str()),
            _ => None,
        };
        let known: Vec<&str> = activations().collect();
        let auto = suggest::nearest(word, &["auto"]).is_some();
        let meant = match auto {
            true => None,
            false => Activation::parse(word).map(|_| word).or(suggest::nearest(word, &known)),
        };
        let error = match meant {
            Some(meant) => {
                let label = match number {
                    Some(_) => "the width comes first",
                    None => "expected the width before it",
                };
                Diagnostic::error(
                    Code::MissingValue,
                    format!("`dense` needs its width before `{word}`"),
                )
                .at(value.span, label)
                .help(format!("write `dense {} {meant}`", number.unwrap_or("8")))
            }
            None => {
                let expected = "a whole number of at least 1 or `auto`";
                let error = refused("the width of `dense`", value, expected);
                if auto { error.help("did you mean `auto`?") } else { error }
            }
        };
        self.fail(error);
        Some((Width::Units(1), meant.is_some()))
    }

    fn activation(&mut self, stage: &Stage, arg: &Arg) -> Option<Activation> {
        let Arg::Value(value) = arg else {
            self.fail(extra(stage, arg, "a group follows `repeat`"));
            return None;
        };
        let known: Vec<&str> = activations().collect();
        let Some(word) = value.word() else {
            let help = "its arguments are a width and an activation, as in `dense 8 relu`";
            self.fail(refused("the activation of `dense`", value, "an activation").help(help));
            return None;
        };
        let parsed = Activation::parse(word);
        if parsed.is_none() {
            self.fail(read::unknown("activation", "activations", word, value.span, &known));
        }
        parsed
    }

    fn repeat(&mut self, stage: &Stage) -> Vec<Layer> {
        let help = "as in `repeat 3 ( dense 8 relu )`";
        self.named(stage, &[]);
        let (mut times, mut group) = (None, None);
        for arg in &stage.args {
            match arg {
                Arg::Value(value) if times.is_none() && group.is_none() => {
                    times = Some(read::count("the number of repeats", value, 1, ""));
                }
                Arg::Group(chain, span) if group.is_none() => group = Some((chain, *span)),
                Arg::Named(..) => {}
                arg => self.fail(extra(stage, arg, help)),
            }
        }
        let times = match times {
            Some(times) => self.take(times),
            None => {
                if !stage.broken {
                    self.fail(
                        Diagnostic::error(Code::MissingValue, "`repeat` has no number")
                            .at(stage.name.span, "expected how often after it")
                            .help(help),
                    );
                }
                None
            }
        };
        let body = match group {
            Some((Some(chain), _)) => {
                self.sound &= !chain.broken;
                self.layers(&chain.stages)
            }
            Some((None, span)) => {
                if !stage.broken {
                    self.fail(
                        Diagnostic::error(Code::MissingValue, "`repeat` has nothing to repeat")
                            .at(span, "expected layers in the group")
                            .help(help),
                    );
                }
                Vec::new()
            }
            None => {
                if !stage.broken {
                    self.fail(
                        Diagnostic::error(Code::MissingValue, "`repeat` has nothing to repeat")
                            .at(stage.span, "expected a group of layers after it")
                            .help(help),
                    );
                }
                Vec::new()
            }
        };
        let times = times.unwrap_or(1);
        // Counted before anything is copied.
        let total = times.saturating_mul(body.len() as u64);
        if total > MAX_LAYERS as u64 {
            self.too_many(stage.span, total);
            return body;
        }
        (0..total).map(|i| body[i as usize % body.len()].clone()).collect()
    }

    /// Gives the layers whose text names no init the default one.
    fn default_inits(&self, layers: &mut [Layer]) {
        let mut before = None;
        for Layer::Dense(dense) in layers {
            if !self.with_init.contains(&dense.span) {
                dense.init = default_init(before, dense.activation);
            }
            before = Some(dense.activation);
        }
    }

    /// What only the last layer may be, each place reported once.
    fn inner_layers(&mut self, layers: &[Layer]) {
        let mut reported: Vec<Span> = Vec::new();
        let inner = layers.split_last().map_or(&[][..], |(_, inner)| inner);
        for Layer::Dense(dense) in inner {
            if reported.contains(&dense.span) {
                continue;
            }
            if dense.activation == Activation::Softmax {
                reported.push(dense.span);
                self.fail(
                    Diagnostic::error(Code::Conflict, "`softmax` stands within the network")
                        .at(dense.span, "this is not the last layer")
                        .help("softmax belongs to the last layer; use `relu` or `tanh` here"),
                );
            }
            if dense.units == Width::Auto {
                reported.push(dense.span);
                self.fail(
                    Diagnostic::error(Code::Conflict, "`dense auto` stands within the network")
                        .at(dense.span, "this is not the last layer")
                        .help("only the last layer can take its width from the target; give a number here"),
                );
            }
        }
    }
}

/// The names of all activations.
fn activations() -> impl Iterator<Item = &'static str> {
    Unary::ALL.iter().map(|unary| unary.name()).chain([Activation::SOFTMAX])
}

/// How weights start where the text says nothing: with the variance that
/// keeps the signal's size through this activation. A layer behind a sigmoid
/// makes up for the slope of at most ¼ there; so started, `input 2 -> dense 3
/// sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1` learns XOR in 10,000 steps
/// from 196 of the seeds 0 to 199; with `glorot_uniform` from 167.
fn default_init(before: Option<Activation>, activation: Activation) -> Init {
    let spread = |activation: Activation| match activation {
        Activation::Unary(unary) => unary.spread(),
        Activation::Softmax => Spread::Keeps,
    };
    match (spread(activation), before.map(spread)) {
        (Spread::Halves, _) => Init::HeNormal,
        (Spread::Normalizes, _) => Init::LecunNormal,
        (Spread::Keeps | Spread::Quarters, Some(Spread::Quarters)) => Init::GlorotSigmoid,
        (Spread::Keeps | Spread::Quarters, _) => Init::GlorotUniform,
    }
}

//! Any text through the parser and the checker.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mlpc::check::{Limits, check};
use mlpc::diag::{Sources, render};
use mlpc::inputs::Layout;
use mlpc::syntax::parse;

fuzz_target!(|text: &str| {
    let limits = Limits { memory: Some(1 << 30) };
    match check(&parse(text, 0), &limits) {
        Ok(model) => {
            // With its widths known, a model's text says the same model.
            let Ok(network) = model.network(Some(&Layout::of_dense(3)), Some(2), &limits) else { return };
            let resolved = model.resolved_text(&network);
            if let Err(errors) = check(&parse(&resolved, 0), &limits) {
                panic!("`{resolved}` is refused: {errors}");
            }
        }
        Err(errors) => {
            let shown = render(errors.iter(), &Sources::of("model.mlp", text), false);
            assert!(!shown.is_empty());
        }
    }
});

//! The one renderer.
//!
//! annotate-snippets draws; this cuts out the lines that a diagnostic points
//! at, so that a large text costs no more than a small one, and makes them
//! fit to be drawn: one kind of line end, tabs as blanks, control characters
//! visible.

use super::{Diagnostic, Severity, Sources, Span};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::ops::Range;

/// Renders diagnostics against the texts that their spans point into, in
/// colour or plain; every diagnostic ends with a line end.
pub fn render<'a>(
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    sources: &Sources,
    colour: bool,
) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for (i, d) in diagnostics.into_iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let level = match d.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(printable(&d.message)).id(d.code.to_string());
        let mut group: Group<'_> = Group::with_title(title);
        for (index, (span, _)) in d.labels.iter().enumerate() {
            // One snippet a source; the first label of a source draws it.
            if d.labels[..index].iter().any(|(earlier, _)| earlier.source == span.source) {
                continue;
            }
            let Some(source) = sources.get(span.source) else { continue };
            let labels = d.labels.iter().enumerate().filter(|(_, (l, _))| l.source == span.source);
            let window = Window::around(&source.text, labels.clone().map(|(_, (span, _))| *span));
            let mut snippet = Snippet::source(window.shown.clone())
                .line_start(window.first_line)
                .path(source.name.as_str());
            for (at, (label_span, label)) in labels {
                let kind = if at == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let mut annotation = kind.span(window.range(*label_span));
                if !label.is_empty() {
                    annotation = annotation.label(printable(label));
                }
                snippet = snippet.annotation(annotation);
            }
            group = group.element(snippet);
        }
        if let Some(file) = &d.file {
            let mut origin = Origin::path(file.path.display().to_string());
            if let Some(line) = file.line {
                origin = origin.line(line as usize);
            }
            group = group.element(origin);
        }
        for note in &d.notes {
            group = group.element(Level::NOTE.message(printable(note)));
        }
        if let Some(help) = &d.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        out.push_str(&renderer.render(&[group]));
        out.push('\n');
    }
    out
}

/// Text that may hold some of a file: without the characters that would move
/// the cursor, and no longer than somebody reads.
fn printable(text: &str) -> String {
    const MAX: usize = 600;
    let mut chars = text.chars().map(|c| if c.is_control() && c != '\n' { '\u{FFFD}' } else { c });
    let mut shown: String = chars.by_ref().take(MAX).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The lines of a text that some spans touch.
struct Window {
    /// The number of the first line, counted from 1.
    first_line: usize,
    shown: String,
    /// For each character of the text that is shown: its place in the text
    /// and in `shown`; ends with the place behind the last one.
    places: Vec<(usize, usize)>,
}

impl Window {
    /// Longer lines and spans are cut before they are drawn, which takes
    /// time; the drawing cuts further, to the width of a terminal.
    const MAX_LINE: usize = 4096;

    fn around(text: &str, spans: impl Iterator<Item = Span>) -> Window {
        let (mut start, mut end) = (text.len(), 0);
        for span in spans {
            start = start.min(span.start);
            end = end.max(Window::end(span));
        }
        let (start, end) = (floor(text, start.min(text.len())), floor(text, end.min(text.len())));
        let is_break = |b: &u8| matches!(b, b'\n' | b'\r');
        let bytes = text.as_bytes();
        let mut from = bytes[..start].iter().rposition(is_break).map_or(0, |i| i + 1);
        let mut to = bytes[end..].iter().position(is_break).map_or(bytes.len(), |i| end + i);
        let first_line = 1 + line_ends(&bytes[..from]);
        if start - from > Window::MAX_LINE {
            from = floor(text, start - Window::MAX_LINE / 2);
        }
        if to - end > Window::MAX_LINE {
            to = floor(text, end + Window::MAX_LINE / 2);
        }
        let (mut shown, mut places) = (String::new(), Vec::new());
        let mut chars = text[from..to].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            places.push((from + at, shown.len()));
            match c {
                '\r' if chars.peek().is_some_and(|&(_, next)| next == '\n') => {}
                '\r' | '\n' => shown.push('\n'),
                '\t' => shown.push_str("    "),
                '\u{FEFF}' => {}
                c if c.is_control() => shown.push('\u{FFFD}'),
                c => shown.push(c),
            }
        }
        places.push((to, shown.len()));
        Window { first_line, shown, places }
    }

    /// The end of what is drawn of a span.
    fn end(span: Span) -> usize {
        span.end.min(span.start.saturating_add(Window::MAX_LINE))
    }

    /// Where a span of the text lies in what is shown.
    fn range(&self, span: Span) -> Range<usize> {
        let place = |at: usize| {
            let index = self.places.partition_point(|&(original, _)| original < at);
            self.places.get(index).map_or(self.shown.len(), |&(_, shown)| shown)
        };
        let start = place(span.start);
        start..place(Window::end(span)).max(start)
    }
}

/// The start of the character that `at` lies in.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// The number of line ends: LF, CRLF or CR.
fn line_ends(bytes: &[u8]) -> usize {
    let ends = bytes
        .iter()
        .enumerate()
        .filter(|&(i, &b)| b == b'\n' || (b == b'\r' && bytes.get(i + 1) != Some(&b'\n')));
    ends.count()
}

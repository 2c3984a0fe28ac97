//! The progress bar on stderr, and what is said beside it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Tally;

/// How often the bar is drawn.
pub(super) const INTERVAL: Duration = Duration::from_millis(200);

/// A bar, hidden where stderr is no terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `None` for no bar, `Some(None)` for one without an end.
    pub(super) fn new(length: Option<Option<u64>>) -> Self {
        let (bar, template) = match length {
            None => return Self(ProgressBar::hidden()),
            Some(Some(length)) => {
                (ProgressBar::new(length), "{elapsed_precise} {wide_bar} {pos}/{len} sent, {msg}")
            }
            Some(None) => (ProgressBar::no_length(), "{elapsed_precise} {spinner} {pos} sent, {msg}"),
        };
        Self(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }

    pub(super) fn show(&self, tally: &Tally) {
        if !self.0.is_hidden() {
            self.0.set_position(tally.published);
            self.0.set_message(format!("{} acknowledged", tally.acknowledged));
        }
    }

    pub(super) fn say(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

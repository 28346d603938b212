//! A row of the table: one fault, and what must hold.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::bench::Bench;

/// One fault.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    /// What is done.
    pub(crate) fault: &'static str,
    /// Whether it takes too long for `cargo test`.
    pub(crate) long: bool,
    /// Puts the fault to the server and returns what was seen. An error is what did not hold.
    pub(crate) run: fn(&Bench) -> anyhow::Result<String>,
}

/// The outcome of a row, with the figure or the reason.
pub(crate) enum Verdict {
    Survived(String),
    Failed(String),
    Skipped(String),
}

/// Why a row cannot be judged here. It is not survived.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

impl Row {
    /// Puts the fault to the server.
    pub(crate) fn put_to(&self, bench: &Bench) -> Verdict {
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(bench)));
        match ran {
            Ok(Ok(figure)) => Verdict::Survived(figure),
            Ok(Err(error)) => match error.downcast_ref::<Skip>() {
                Some(why) => Verdict::Skipped(why.to_string()),
                None => Verdict::Failed(format!("{error:#}")),
            },
            Err(_) => Verdict::Failed("the row itself panicked".into()),
        }
    }
}

impl Verdict {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Verdict::Survived(_) => "survived",
            Verdict::Failed(_) => "FAILED",
            Verdict::Skipped(_) => "skipped",
        }
    }

    pub(crate) fn figure(&self) -> &str {
        let (Verdict::Survived(text) | Verdict::Failed(text) | Verdict::Skipped(text)) = self;
        text
    }
}

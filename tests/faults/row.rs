//! A row of the table: one fault, and what must hold.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::bench::Bench;

/// One fault.
pub struct Row {
    pub id: &'static str,
    /// What is done.
    pub fault: &'static str,
    /// Whether it takes too long for `cargo test`.
    pub long: bool,
    /// Does it, and says what was seen. An error is what did not hold.
    pub run: fn(&Bench) -> anyhow::Result<String>,
}

/// What came of a row: in each case with the figure, or the reason.
pub enum Verdict {
    Survived(String),
    Fell(String),
    Skipped(String),
}

/// Why a row cannot be judged here. It is not survived.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

impl Row {
    /// Puts the fault to the server.
    pub fn put_to(&self, bench: &Bench) -> Verdict {
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(bench)));
        match ran {
            Ok(Ok(figure)) => Verdict::Survived(figure),
            Ok(Err(error)) => match error.downcast_ref::<Skip>() {
                Some(why) => Verdict::Skipped(why.to_string()),
                None => Verdict::Fell(format!("{error:#}")),
            },
            Err(_) => Verdict::Fell("the row itself panicked".into()),
        }
    }
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Survived(_) => "survived",
            Verdict::Fell(_) => "FELL",
            Verdict::Skipped(_) => "skipped",
        }
    }

    pub fn figure(&self) -> &str {
        let (Verdict::Survived(text) | Verdict::Fell(text) | Verdict::Skipped(text)) = self;
        text
    }
}

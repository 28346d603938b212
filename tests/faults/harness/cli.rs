//! The harness's command line.

use clap::Parser;

use crate::harness::row::Row;

/// Puts faults to a TCP echo server and prints which it survived
#[derive(Debug, Parser)]
#[command(name = "faults")]
pub(crate) struct Cli {
    /// Only these rows (F01, F27, ...)
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// The long rows too, and every row in full
    #[arg(long)]
    pub(crate) all: bool,
    /// Add the soak (F42), for that long
    #[arg(long, value_name = "MINUTES", default_value_t = 0.0, hide_default_value = true)]
    pub(crate) soak: f64,
    /// List the rows
    #[arg(long)]
    pub(crate) list: bool,
    /// The server's command line, with {port} where the port goes [default: ours]
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    #[command(flatten)]
    ignored: Libtest,
}

/// What `cargo test -- ...` passes to every test program.
#[derive(Debug, clap::Args)]
struct Libtest {
    #[arg(long, visible_alias = "nocapture", hide = true)]
    no_capture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
}

impl Cli {
    /// A word that can only mean a row, and there is none. What else is no row may be the
    /// filter that `cargo test NAME` passes to every test program, and selects nothing.
    pub(crate) fn unknown_row<'a>(
        &'a self,
        rows: impl Iterator<Item = &'a Row> + Clone,
    ) -> Option<&'a str> {
        let is_row = |name: &str| rows.clone().any(|row| name.eq_ignore_ascii_case(row.id));
        self.rows.iter().map(String::as_str).find(|name| looks_like_a_row(name) && !is_row(name))
    }

    pub(crate) fn wants(&self, row: &Row) -> bool {
        let named = self.rows.iter().any(|name| name.eq_ignore_ascii_case(row.id));
        let soak = self.soak > 0.0 && row.id == "F42";
        let unnamed = self.rows.is_empty() && row.id != "F42" && (self.all || !row.long);
        !self.ignored.ignored && (named || soak || unnamed)
    }
}

/// F, and digits.
fn looks_like_a_row(name: &str) -> bool {
    let digits = name.strip_prefix(['F', 'f']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

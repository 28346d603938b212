//! Which lines are logged.

use std::env;
use std::time::Duration;

use env_logger::{Builder, Logger};
use log::{Level, LevelFilter, Log, Metadata};

use crate::program::stream::print_error_within;

/// What `RUST_LOG` selects, or `info` and above. An empty variable is one that is not set.
pub(crate) fn from_environment() -> Logger {
    let selected = env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let selected = selected.as_deref().unwrap_or("info");
    let filter = Builder::new().parse_filters(selected).build();
    if selects_nothing(&filter) {
        let warning = format!("warning: RUST_LOG={selected:?} selects no line of this program");
        print_error_within(&warning, Duration::ZERO);
    }
    filter
}

/// Returns whether a filter lets no line of this crate and its programs through, although it is
/// not off. `inof` does not: it is the name of a target.
fn selects_nothing(filter: &Logger) -> bool {
    let selects =
        |target| filter.enabled(&Metadata::builder().level(Level::Error).target(target).build());
    let targets = [env!("CARGO_CRATE_NAME"), "reactor_server::events", "server"];
    filter.filter() != LevelFilter::Off && !targets.into_iter().any(selects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_level_selects_nothing() {
        let selects_nothing =
            |selected| selects_nothing(&Builder::new().parse_filters(selected).build());
        for selected in ["inof", "serer=info", "other=debug"] {
            assert!(selects_nothing(selected), "{selected}");
        }
        for selected in ["info", "off", "server", "reactor_server::events=error"] {
            assert!(!selects_nothing(selected), "{selected}");
        }
    }
}

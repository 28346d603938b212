//! Texts of errors and mismatches, with how often each occurred.

use std::collections::BTreeMap;

use crate::load::failure::Failure;

/// Texts of errors and mismatches, with how often each occurred.
///
/// Mismatches may differ from each other without end. To bound the memory of a long run, and so
/// that they do not hide other errors, it keeps a few texts of each kind. The others of that kind
/// are counted together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorTexts(BTreeMap<&'static str, BTreeMap<String, u64>>);

/// How many texts of a kind are kept: enough to see what they have in common.
const EXAMPLES: usize = 8;

impl ErrorTexts {
    pub(crate) fn add(&mut self, failure: &Failure) {
        self.count(failure.kind(), failure.to_string(), 1);
    }

    pub(crate) fn merge(&mut self, other: ErrorTexts) {
        for (kind, texts) in other.0 {
            texts.into_iter().for_each(|(text, times)| self.count(kind, text, times));
        }
    }

    /// All of them, of whatever kind.
    pub fn into_counts(self) -> BTreeMap<String, u64> {
        self.0.into_values().flatten().collect()
    }

    fn count(&mut self, kind: &'static str, text: String, times: u64) {
        let texts = self.0.entry(kind).or_default();
        let is_kept = texts.len() < EXAMPLES || texts.contains_key(&text);
        let text = if is_kept { text } else { format!("{kind}: others, too many to list") };
        *texts.entry(text).or_default() += times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mismatches(numbers: std::ops::Range<u64>) -> ErrorTexts {
        let mut texts = ErrorTexts::default();
        numbers.for_each(|number| texts.add(&Failure::Mismatch(format!("reply {number}"))));
        texts
    }

    #[test]
    fn many_texts_of_one_kind_hide_none_of_another() {
        let mut texts = mismatches(0..1000);
        texts.add(&Failure::Timeout);
        texts.add(&Failure::Closed(3));
        let counts = texts.into_counts();
        assert_eq!(counts.len(), EXAMPLES + 3, "{counts:?}");
        assert_eq!(counts["wrong bytes: others, too many to list"], 1000 - EXAMPLES as u64);
        assert_eq!((counts["no reply in time"], counts["wrong bytes: reply 7"]), (1, 1));
    }

    #[test]
    fn merged_texts_are_bounded_and_none_is_lost() {
        let mut texts = mismatches(0..20);
        texts.merge(mismatches(10..30));
        let counts = texts.into_counts();
        assert_eq!((counts.len(), counts.values().sum()), (EXAMPLES + 1, 40), "{counts:?}");
    }
}

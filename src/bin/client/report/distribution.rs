//! A distribution of latencies, and its JSON.

use std::ops::AddAssign;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A histogram of latencies. It stores nanoseconds and returns microseconds.
///
/// Its JSON is HdrHistogram's V2 encoding in base64, so that the results of several clients
/// can be merged exactly.
#[derive(Debug, Clone)]
pub(crate) struct Distribution(pub(crate) Histogram<u64>);

/// The bytes in front of the counts in a V2 encoding.
const HEADER: u64 = 40;
/// Those of every histogram that this program writes.
const SIGNIFICANT_DIGITS: u8 = 3;
/// The percentiles that the JSON always has.
const ALWAYS: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

impl Distribution {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages it counts.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this percentage of messages did not exceed.
    pub(crate) fn percentile(&self, percentage: f64) -> f64 {
        percentile(&self.0, percentage)
    }

    pub(crate) fn max(&self) -> f64 {
        microseconds(self.0.max())
    }

    pub(crate) fn mean(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    /// `latency_us` of the JSON. Without messages its values are null.
    pub(crate) fn figures(&self, percentiles: &[f64]) -> Map<String, Value> {
        let mut figures = Map::new();
        let mut insert = |key: String, figure: f64| {
            figures.insert(key, if self.is_empty() { Value::Null } else { figure.into() });
        };
        for &percentile in ALWAYS.iter().chain(percentiles) {
            insert(format!("p{percentile}").replace('.', "_"), self.percentile(percentile));
        }
        insert("max".to_owned(), self.max());
        insert("mean".to_owned(), self.mean());
        figures
    }
}

impl Default for Distribution {
    fn default() -> Distribution {
        let histogram = Histogram::new_with_bounds(1, 2, SIGNIFICANT_DIGITS);
        Distribution(histogram.expect("the bounds are in order"))
    }
}

impl AddAssign<&Distribution> for Distribution {
    fn add_assign(&mut self, other: &Distribution) {
        // Automatic resizing makes room for every histogram.
        self.0.auto(true);
        self.0 += &other.0;
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        encode(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Distribution, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text, SIGNIFICANT_DIGITS).map(Distribution).map_err(D::Error::custom)
    }
}

/// The latency in microseconds that this percentage of messages did not exceed.
pub(super) fn percentile(histogram: &Histogram<u64>, percentage: f64) -> f64 {
    let count = histogram.len() as f64;
    // The nearest rank: 99.9 % of 4000 is 3996, and not a little more.
    let rank = (percentage / 100.0 * count - 1e-6).ceil().max(1.0);
    microseconds(histogram.value_at_quantile((rank - 0.5) / count))
}

/// HdrHistogram's V2 encoding in base64.
pub(super) fn encode(histogram: &Histogram<u64>) -> Result<String, &'static str> {
    let mut bytes = Vec::new();
    let encoded = V2Serializer::new().serialize(histogram, &mut bytes);
    encoded.map(|_| STANDARD.encode(bytes)).map_err(|_| "the histogram cannot be encoded")
}

/// Decodes a histogram with this many significant digits.
pub(super) fn decode(text: &str, digits: u8) -> Result<Histogram<u64>, &'static str> {
    let bytes = STANDARD.decode(text).map_err(|_| "no base64")?;
    // The decoder allocates the length that the header announces.
    has_its_length(&bytes)
        .then(|| HdrDeserializer::new().deserialize(&mut &bytes[..]).ok())
        .flatten()
        .filter(|it: &Histogram<u64>| it.sigfig() == digits && it.low() == 1)
        .ok_or("no HdrHistogram V2")
}

/// Whether the counts are as long as the header of a V2 encoding says.
fn has_its_length(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|it| it.try_into().ok()).map(u32::from_be_bytes);
    length.is_some_and(|length| u64::from(length) + HEADER == bytes.len() as u64)
}

pub(super) fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

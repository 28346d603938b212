//! A comparison: what the runs of several servers say.

use serde_json::{Map, Value, json};

use super::contest::{Contender, Contest, Ending};
use super::metric::Metric;
use super::ratio::{CONFIDENCE, LEAST_PAIRS, Ratio};
use super::sentence::{sentence, shown};
use crate::report::{Condition, Distribution, Report};

/// What the runs of several servers say.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Those that a server has values of.
    pub(crate) metrics: Vec<Metric>,
    pub(crate) standings: Vec<Standing>,
    pub(crate) ending: Ending,
    /// How many intervals hold together.
    pub(crate) intervals: usize,
    /// How their plans differ.
    pub(crate) differences: Vec<String>,
}

/// A server among others.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: String,
    pub(crate) runs: Vec<Report>,
    /// By metric.
    pub(crate) spreads: Vec<Option<Spread>>,
    /// By metric, to the first server.
    pub(crate) ratios: Vec<Option<Ratio>>,
}

/// The values of a metric in several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Comparison {
    pub(crate) fn new(contest: Contest, percentiles: &[f64]) -> Comparison {
        let Contest { contenders, ending } = contest;
        let has = |metric: &Metric| {
            contenders.iter().flat_map(|it| &it.runs).any(|run| metric.of(run).is_some())
        };
        let metrics: Vec<_> = Metric::all(percentiles).into_iter().filter(has).collect();
        let pairs = |one: &Contender, other: &Contender| -> Vec<_> {
            metrics.iter().map(|metric| pairs(*metric, one, other)).collect()
        };
        let pairs: Vec<Vec<_>> = contenders.iter().map(|it| pairs(&contenders[0], it)).collect();
        let intervals = pairs.iter().skip(1).flatten().filter(|it| it.len() >= LEAST_PAIRS).count();
        let differences = differences(&contenders);
        let standing = |(number, (contender, pairs)): (usize, (Contender, Vec<Vec<_>>))| Standing {
            name: contender.name,
            spreads: metrics.iter().map(|metric| Spread::of(*metric, &contender.runs)).collect(),
            ratios: pairs
                .iter()
                .map(|pairs| Ratio::of(pairs, intervals).filter(|_| number > 0))
                .collect(),
            runs: contender.runs,
        };
        let standings = contenders.into_iter().zip(pairs).enumerate().map(standing).collect();
        Comparison { metrics, standings, ending, intervals, differences }
    }

    /// A sentence about each server but the first.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let first = &self.standings[0].name;
        let sentence = |other: &Standing| {
            let ratios = self.metrics.iter().copied().zip(&other.ratios);
            let known: Vec<_> = ratios.filter_map(|(metric, it)| Some((metric, (*it)?))).collect();
            sentence(first, &other.name, &known)
        };
        self.standings.iter().skip(1).map(sentence).collect()
    }

    /// The ratio of a server's figure to that of the first server, or why there is none.
    pub(crate) fn ratio(&self, place: usize, index: usize) -> String {
        let is_known = |place: usize| self.standings[place].spreads[index].is_some();
        match self.standings[place].ratios[index] {
            Some(ratio) => shown(&ratio),
            None if place > 0 && is_known(place) && is_known(0) => {
                "too few runs for an interval".to_owned()
            }
            None => String::new(),
        }
    }

    /// The runs that meet a condition.
    pub(crate) fn met(&self, condition: &Condition) -> Vec<String> {
        let met = |it: &Standing| {
            let runs = it.runs.iter().enumerate();
            let met = runs.filter_map(|(number, run)| Some((number + 1, condition.met_by(run)?)));
            met.map(|(number, text)| format!("{}, run {number}: {text}", it.name))
                .collect::<Vec<_>>()
        };
        self.standings.iter().flat_map(met).collect()
    }

    /// What has ended the comparison early, or is wrong with results.
    pub(crate) fn failures(&self) -> &[String] {
        match &self.ending {
            Ending::Failed(failures) => failures,
            Ending::Done | Ending::Interrupted => &[],
        }
    }

    /// How the intervals were calculated, if there are any.
    pub(crate) fn method(&self) -> Option<String> {
        let intervals = match self.intervals {
            0 => return None,
            1 => "the interval holds".to_owned(),
            count => format!("all {count} intervals together hold"),
        };
        Some(format!(
            "{intervals} with {:.0} % confidence: Student's t, from the logarithms of the ratios \
             of runs in pairs",
            100.0 * CONFIDENCE
        ))
    }

    /// The JSON. The results of each run are as those of a load.
    pub(crate) fn to_json(&self, percentiles: &[f64]) -> anyhow::Result<Value> {
        let servers = self.standings.iter().map(|it| self.server(it, percentiles));
        let first = self.standings.iter().find_map(|it| it.runs.first());
        Ok(json!({
            "environment": first.map(|run| &run.environment),
            "servers": servers.collect::<anyhow::Result<Vec<_>>>()?,
            "sentences": self.sentences(),
            "confidence": CONFIDENCE,
            "intervals": self.intervals,
            "interrupted": self.ending == Ending::Interrupted,
            "failures": self.failures(),
            "plan_differences": self.differences,
        }))
    }

    fn server(&self, standing: &Standing, percentiles: &[f64]) -> anyhow::Result<Value> {
        let mut ratios = Map::new();
        let mut spreads = Map::new();
        for (index, metric) in self.metrics.iter().enumerate() {
            let spread = standing.spreads[index]
                .map(|it| json!({ "median": it.median, "least": it.least, "most": it.most }));
            let ratio = standing.ratios[index].map(|it| {
                json!({
                    "ratio": it.mean, "low": it.low, "high": it.high, "differs": it.differs(),
                })
            });
            spreads.insert(metric.key(), spread.into());
            ratios.insert(metric.key(), ratio.into());
        }
        let runs = standing.runs.iter().map(|run| run.to_json(percentiles));
        Ok(json!({
            "name": standing.name,
            "figures": spreads,
            "ratios": ratios,
            "runs": runs.collect::<anyhow::Result<Vec<_>>>()?,
        }))
    }
}

impl Standing {
    /// The latencies of all its runs together.
    pub(crate) fn latency(&self) -> Option<Distribution> {
        let mut latencies = self.runs.iter().map(|run| &run.histogram);
        let first = latencies.next()?.clone();
        Some(latencies.fold(first, |mut sum, more| {
            sum += more;
            sum
        }))
    }
}

impl Spread {
    fn of(metric: Metric, runs: &[Report]) -> Option<Spread> {
        let mut values: Vec<_> = runs.iter().filter_map(|run| metric.of(run)).collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        Some(Spread { median, least, most })
    }
}

/// The values of two servers in the runs that were next to each other.
fn pairs(metric: Metric, one: &Contender, other: &Contender) -> Vec<(f64, f64)> {
    let runs = one.runs.iter().zip(&other.runs);
    runs.filter_map(|(one, other)| metric.of(one).zip(metric.of(other))).collect()
}

/// How the loads of the others differ from the first one's.
fn differences(contenders: &[Contender]) -> Vec<String> {
    let Some((first, others)) = contenders.split_first() else { return Vec::new() };
    let difference = |other: &Contender| {
        let difference = first.runs.first()?.difference(other.runs.first()?)?;
        Some(format!("{} and {} had different loads: {difference}", first.name, other.name))
    };
    others.iter().filter_map(difference).collect()
}

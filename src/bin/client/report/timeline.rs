//! What happened in a run over time.

use std::iter::zip;

use reactor_server::load::{STEP, StepRecord};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::latencies::{Latencies, PackedLatencies};
use super::step::Step;

/// What happened in a run over time, in steps of equal length.
///
/// Steps begin at multiples of their length since 1970, and longer steps are twice as long. Those
/// of several clients therefore add up exactly: a shorter step is within a longer one. The steps
/// grow longer in a long run, so that their number is bounded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// When the first step began, in seconds since 1970. Results of earlier versions have a first
    /// step that began with the run.
    pub(crate) began: f64,
    /// The length of a step.
    pub(crate) step_seconds: f64,
    /// When all connections were open and messages began, warm-up included, in seconds since 1970.
    #[serde(default)]
    pub(crate) messages_began: Option<f64>,
    /// Replies in each step.
    pub(crate) messages: Vec<u64>,
    /// Open connections at the end of each step.
    pub(crate) connections: Vec<u64>,
    /// Connections that failed, or received wrong bytes, in each step. This and what follows is
    /// empty if it is not known, as in results of earlier versions.
    #[serde(default)]
    pub(crate) errors: Vec<u64>,
    /// Connections opened to replace another in each step.
    #[serde(default)]
    pub(crate) reconnects: Vec<u64>,
    /// The latencies of the replies in each step.
    #[serde(default)]
    pub(crate) histograms: Vec<PackedLatencies>,
}

/// The most steps: more than a chart can show.
const STEPS: usize = 600;

impl Timeline {
    pub(crate) fn new(began: f64, step_seconds: f64) -> Timeline {
        let (messages, connections, errors, reconnects, histograms) = Default::default();
        Timeline {
            began,
            step_seconds,
            messages_began: None,
            messages,
            connections,
            errors,
            reconnects,
            histograms,
        }
    }

    /// Records the next step of the run.
    pub(crate) fn record(&mut self, step: &StepRecord) {
        let length = STEP.as_secs_f64();
        if self.messages.is_empty() {
            self.began = step.number as f64 * length;
        }
        let middle = (step.number as f64 + 0.5) * length;
        while middle - self.began >= self.step_seconds * STEPS as f64 {
            self.double_step();
        }
        let slot = self.slot(middle);
        self.extend(slot + 1);
        self.messages[slot] += step.messages();
        self.connections[slot] = step.open;
        self.errors[slot] += step.errors;
        self.reconnects[slot] += step.reopened;
        let latencies = Latencies::of(step.latency.as_ref());
        self.histograms[slot].add(&PackedLatencies::of(&latencies));
    }

    /// Merges two timelines, in the longer of their steps. What one of them does not know, the
    /// sum does not know.
    pub(crate) fn merge(&self, other: &Timeline) -> Timeline {
        let longer = self.step_seconds.max(other.step_seconds);
        let mut sum = Timeline::new(self.began.min(other.began), longer);
        let end = self.end().max(other.end());
        while sum.align(end) > STEPS {
            sum.step_seconds *= 2.0;
        }
        let begins = self.messages_began.zip(other.messages_began);
        sum.messages_began = begins.map(|(one, two)| one.min(two));
        let steps = sum.align(end).max(1);
        sum.extend(steps);
        for one in [self, other] {
            one.add_to(&mut sum);
        }
        sum
    }

    /// Whether this program can have written it.
    pub(crate) fn is_sound(&self) -> bool {
        let steps = self.messages.len();
        let is_known = |length: usize| length == steps || length == 0;
        let agree =
            |(packed, &messages): (&PackedLatencies, &u64)| packed.unpack().len() == messages;
        steps == self.connections.len()
            && [self.errors.len(), self.reconnects.len(), self.histograms.len()]
                .into_iter()
                .all(is_known)
            && zip(&self.histograms, &self.messages).all(agree)
            && steps <= STEPS + 1
            && (0.001..1e9).contains(&self.step_seconds)
    }

    /// `latency_us` of the JSON: the figures of each step, null where there was no reply.
    pub(crate) fn figures(&self) -> Map<String, Value> {
        let of_step = |packed: &PackedLatencies| {
            let step = packed.unpack();
            [step.percentile(50.0), step.percentile(99.0), step.max()]
        };
        let steps: Vec<_> = self.histograms.iter().map(of_step).collect();
        let list = |index: usize| steps.iter().map(|step| step[index]).collect::<Vec<_>>().into();
        let keys = ["p50", "p99", "max"].into_iter().enumerate();
        keys.map(|(index, key)| (key.to_owned(), list(index))).collect()
    }

    /// The steps between two moments, in seconds since 1970; their times are since the first of
    /// them.
    ///
    /// The last step ends with the run, so that its rate is right. If it is shorter than half
    /// of a step, its rate would mean little: it is joined to the one before. So is the first.
    pub(crate) fn steps(&self, began: f64, ended: f64) -> Vec<Step> {
        let (step, end) = (self.step_seconds, ended - began);
        let from = |index: usize| index as f64 * step + (self.began - began);
        let all = 0..self.messages.len();
        let mut steps: Vec<_> = all
            .filter(|&index| from(index) + step > step / 1000.0)
            .map(|index| self.step(index, from(index).max(0.0), from(index) + step))
            .collect();
        if steps.len() > 1 && steps[0].to < step / 2.0 {
            let first = steps.remove(0);
            steps[0] = first.join(&steps[0]);
        }
        // In merged results, whose steps do not begin together, up to two are too short.
        for _ in 0..2 {
            if let [.., before, last] = &mut steps[..]
                && end - last.from < step / 2.0
            {
                *before = std::mem::take(before).join(last);
                steps.pop();
            }
        }
        if let Some(last) = steps.last_mut().filter(|last| last.from < end) {
            last.to = last.to.min(end);
        }
        steps
    }

    fn step(&self, index: usize, from: f64, to: f64) -> Step {
        let of = |counts: &[u64]| counts.get(index).copied().unwrap_or(0);
        Step {
            from,
            to,
            messages: self.messages[index],
            open: self.connections[index],
            errors: of(&self.errors),
            reconnects: of(&self.reconnects),
            latency: self.histograms.get(index).map(PackedLatencies::unpack).unwrap_or_default(),
        }
    }

    fn end(&self) -> f64 {
        self.began + self.step_seconds * self.messages.len() as f64
    }

    /// Where a moment is, which is not before the first step.
    fn slot(&self, moment: f64) -> usize {
        ((moment - self.began) / self.step_seconds) as usize
    }

    /// Adds steps in which nothing has happened.
    fn extend(&mut self, steps: usize) {
        let open = self.connections.last().copied().unwrap_or(0);
        self.messages.resize(steps.max(self.messages.len()), 0);
        self.connections.resize(self.messages.len(), open);
        self.errors.resize(self.messages.len(), 0);
        self.reconnects.resize(self.messages.len(), 0);
        self.histograms.resize(self.messages.len(), PackedLatencies::default());
    }

    /// Has the steps begin at multiples of their length, and returns how many there are up to
    /// this moment.
    fn align(&mut self, end: f64) -> usize {
        // A sum of tenths of a second may be off by a little.
        let at = |moment: f64| moment / self.step_seconds;
        let first = (at(self.began) + 1e-4).floor();
        self.began = first * self.step_seconds;
        ((at(end) - 1e-4).ceil() - first).max(0.0) as usize
    }

    /// Joins each two steps to one.
    fn double_step(&mut self) {
        let mut longer = Timeline::new(self.began, 2.0 * self.step_seconds);
        let steps = longer.align(self.end());
        longer.messages_began = self.messages_began;
        longer.extend(steps);
        self.add_to(&mut longer);
        *self = longer;
    }

    /// Adds what happened in each step where its middle lies in `sum`, which is so long that
    /// each lies somewhere, and whose steps are no shorter.
    fn add_to(&self, sum: &mut Timeline) {
        let (mut open, mut end) = (vec![0; sum.messages.len()], 0);
        for index in 0..self.messages.len() {
            let middle = self.began + (index as f64 + 0.5) * self.step_seconds;
            let slot = sum.slot(middle).min(sum.messages.len() - 1);
            sum.messages[slot] += self.messages[index];
            // Where steps do not begin together, one may have no middle in it.
            open[slot..].fill(self.connections[index]);
            end = slot + 1;
            add(&mut sum.errors, slot, self.errors.get(index));
            add(&mut sum.reconnects, slot, self.reconnects.get(index));
            match self.histograms.get(index) {
                Some(latencies) if !sum.histograms.is_empty() => {
                    sum.histograms[slot].add(latencies)
                }
                _ => sum.histograms.clear(),
            }
        }
        zip(&mut sum.connections[..end], open).for_each(|(sum, open)| *sum += open);
    }
}

/// Adds a count to one of a list; if it is not known, neither is the list.
fn add(sums: &mut Vec<u64>, slot: usize, count: Option<&u64>) {
    match count {
        Some(count) if !sums.is_empty() => sums[slot] += count,
        _ => sums.clear(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

    /// A step with a reply for each of these latencies in nanoseconds.
    fn step(number: u64, latencies: &[u64]) -> StepRecord {
        let mut histogram = Histogram::new(3).expect("a histogram");
        latencies.iter().for_each(|&it| histogram.record(it).expect("it fits"));
        let latency = (!latencies.is_empty()).then_some(histogram);
        let (open, errors, reopened) = (7, number % 3, number % 5);
        StepRecord { number, ended: Instant::now(), latency, open, errors, reopened }
    }

    fn of(steps: &[StepRecord]) -> Timeline {
        let mut timeline = Timeline::new(0.0, 0.1);
        steps.iter().for_each(|step| timeline.record(step));
        timeline
    }

    /// All that must not depend on the order of merging. The connections may, where a client
    /// ends. So may the space that a histogram has, but not its counts.
    fn exact(timeline: &Timeline) -> String {
        let Timeline { began, step_seconds, messages, errors, reconnects, .. } = timeline;
        let counts = |it: &PackedLatencies| it.unpack().counts().collect::<Vec<_>>();
        let latencies: Vec<_> = timeline.histograms.iter().map(counts).collect();
        format!("{began} {step_seconds} {messages:?} {errors:?} {reconnects:?} {latencies:?}")
    }

    /// As it is read from a file.
    fn stored(timeline: &Timeline) -> Timeline {
        let json = serde_json::to_value(timeline).expect("it can be written");
        serde_json::from_value(json).expect("it can be read")
    }

    fn steps() -> impl Strategy<Value = Vec<StepRecord>> {
        let latencies = prop::collection::vec(1..100_000_000_u64, 0..3);
        (0..4000_u64, prop::collection::vec((1..300_u64, latencies), 1..20)).prop_map(
            |(mut number, steps)| {
                let mut next = |passed| {
                    number += passed;
                    number
                };
                steps.iter().map(|(passed, it)| step(17_000_000_000 + next(passed), it)).collect()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn clients_merged_in_any_order_are_as_one_client(a in steps(), b in steps(), c in steps()) {
            let mut all = [&a[..], &b, &c].concat();
            all.sort_by_key(|step| step.number);
            let (whole, [a, b, c]) = (of(&all), [a, b, c].map(|it| of(&it)));
            for merged in [
                a.merge(&b).merge(&c),
                c.merge(&b.merge(&a)),
                stored(&stored(&b).merge(&stored(&c))).merge(&a),
            ] {
                prop_assert!(exact(&merged) == exact(&whole));
                prop_assert!(merged.is_sound());
            }
        }
    }

    #[test]
    fn a_long_run_has_few_steps_and_loses_no_message() {
        let steps: Vec<_> = (7..8007).map(|number| step(number, &[900, 1000])).collect();
        let timeline = of(&steps);
        assert!(timeline.messages.len() <= STEPS && timeline.messages.len() > STEPS / 4);
        assert_eq!(timeline.messages.iter().sum::<u64>(), 16_000);
        assert!(timeline.is_sound() && timeline.connections.iter().all(|&open| open == 7));
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        let errors = steps.iter().map(|it| it.errors).sum();
        assert_eq!((sum(&timeline.errors), sum(&timeline.reconnects)), (errors, 16_000));
    }

    #[test]
    fn clocks_that_differ_widely_make_long_steps_but_few() {
        let both = of(&[step(0, &[7])]).merge(&of(&[step(18_000_000_000, &[8, 9])]));
        assert!(both.is_sound(), "{} steps", both.messages.len());
        assert_eq!(both.messages.iter().sum::<u64>(), 3);
    }

    /// Those of earlier versions begin with their run, and have no latencies.
    #[test]
    fn merged_timelines_of_an_earlier_version_have_the_messages_and_connections_of_both() {
        let old = |began, step_seconds, steps, open| {
            let mut old = Timeline::new(began, step_seconds);
            (old.messages, old.connections) = (vec![2; steps], vec![open; steps]);
            old
        };
        let both = old(100.0, 0.1, 100, 10).merge(&old(105.0, 0.4, 25, 5));
        assert!((both.began - 100.0).abs() < 1e-6 && both.step_seconds == 0.4);
        assert_eq!(both.messages.iter().sum::<u64>(), 250);
        let at = |seconds: f64| both.connections[(seconds / 0.4) as usize];
        assert_eq!((at(2.0), at(7.0), at(12.0)), (10, 15, 5));
        assert!(both.is_sound() && both.histograms.is_empty() && both.errors.is_empty());
        let with_new = both.merge(&of(&[step(1010, &[5])]));
        assert!(with_new.is_sound() && with_new.histograms.is_empty());
        assert_eq!(with_new.messages.iter().sum::<u64>(), 251);
    }

    #[test]
    fn the_first_and_the_last_step_begin_and_end_with_the_run() {
        let timeline = of(&(1000..1004).map(|it| step(it, &[50; 10])).collect::<Vec<_>>());
        let whole = timeline.steps(100.0, 100.36);
        assert_eq!(whole.len(), 4);
        assert!((whole[3].to - 0.36).abs() < 1e-6 && (whole[2].rate() - 100.0).abs() < 1.0);
        let short = timeline.steps(100.08, 100.32);
        assert_eq!((short.len(), short.iter().map(|it| it.messages).sum()), (2, 40));
        assert!(short[0].from == 0.0 && (short[0].to - 0.12).abs() < 1e-6);
        assert!((short[1].to - 0.24).abs() < 1e-6 && short[1].latency.len() == 20);
        let later = timeline.steps(100.1, 100.4);
        assert_eq!((later.len(), later.iter().map(|it| it.messages).sum()), (3, 30));
        // The clock was set back during the run.
        assert_eq!(timeline.steps(100.0, 0.0).len(), 2);
    }
}

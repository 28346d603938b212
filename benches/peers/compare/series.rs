//! All measurements of one server under one shape, and their median, least and most.

use crate::measurement::Measurement;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Series<'a> {
    all: &'a [Measurement],
    shape: &'a str,
    server: &'a str,
}

type Field = fn(&Measurement) -> Option<f64>;

impl<'a> Series<'a> {
    pub(crate) fn new(all: &'a [Measurement], shape: &'a str, server: &'a str) -> Series<'a> {
        Series { all, shape, server }
    }

    fn measurements(&self) -> impl Iterator<Item = &'a Measurement> {
        let Series { all, shape, server } = *self;
        all.iter().filter(move |it| it.shape == shape && it.server == server)
    }

    /// In ascending order.
    fn values(&self, field: Field) -> Vec<f64> {
        let mut values: Vec<f64> = self.measurements().filter_map(field).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    pub(crate) fn median(&self, field: Field) -> Option<f64> {
        let values = self.values(field);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(values[middle]),
            _ => Some((values[middle - 1] + values[middle]) / 2.0),
        }
    }

    pub(crate) fn least(&self, field: Field) -> Option<f64> {
        self.values(field).first().copied()
    }

    pub(crate) fn most(&self, field: Field) -> Option<f64> {
        self.values(field).last().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.measurements().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_this_shape_and_server_alone() {
        let of = |shape: &str, server, rate| Measurement {
            shape: shape.to_owned(),
            server,
            rate: Some(rate),
            ..Measurement::default()
        };
        let all = [of("A", "go", 3.0), of("A", "go", 1.0), of("B", "go", 9.0), of("A", "x", 9.0)];
        let series = Series::new(&all, "A", "go");
        assert_eq!(series.median(|it| it.rate), Some(2.0));
        assert_eq!((series.least(|it| it.rate), series.most(|it| it.rate)), (Some(1.0), Some(3.0)));
        assert!(Series::new(&all, "C", "go").is_empty());
    }
}

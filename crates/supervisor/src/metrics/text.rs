//! The text that a scrape gets, written by the kept library for it.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::read::{Number, Series};
use super::{Family, Kind, families};
use crate::histogram::{BOUNDS_MS, Histogram};
use crate::moment::Moment;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// What a client can read that sends this `Accept`: OpenMetrics if it names that, the older one otherwise.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let named = |part: &str| {
            let mut words = part.split(';').map(str::trim);
            let is_it =
                words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            is_it && words.all(|word| !matches!(word, "q=0" | "q=0.0"))
        };
        if accept.split(',').any(named) { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Everything at this moment as text.
#[must_use]
pub fn encode(moment: Moment, exposition: Exposition) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Shown(moment)));
    let mut text = String::new();
    let written = match exposition {
        Exposition::Text => encoding::prometheus_text::encode(&mut text, &registry),
        Exposition::OpenMetrics => encoding::text::encode(&mut text, &registry),
    };
    written.expect("a String takes all text");
    text
}

#[derive(Debug)]
struct Shown(Moment);

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in families() {
            let series = family.series(&self.0);
            if !series.is_empty() {
                write_family(&mut encoder, family, series)?;
            }
        }
        Ok(())
    }
}

fn write_family(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family,
    series: Vec<Series<'_>>,
) -> fmt::Result {
    // The encoder adds the ending of a counter.
    let name = family.name.strip_suffix("_total").unwrap_or(family.name);
    let metric_type = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut metric = encoder.encode_descriptor(name, family.about, None, metric_type)?;
    for series in series {
        let (labels, value) = match series {
            Series::Value(labels, number) => (labels, Ok(number)),
            Series::Durations(labels, histogram) => (labels, Err(histogram)),
        };
        assert_eq!(labels.len(), family.labels.len(), "{} has a value for each label", family.name);
        let labels: Vec<_> = family.labels.iter().copied().zip(labels).collect();
        match value {
            Ok(number) if labels.is_empty() => write_number(&mut metric, family.kind, number)?,
            Ok(number) => write_number(&mut metric.encode_family(&labels)?, family.kind, number)?,
            Err(histogram) => write_histogram(&mut metric.encode_family(&labels)?, histogram)?,
        }
    }
    Ok(())
}

fn write_number(metric: &mut MetricEncoder<'_>, kind: Kind, number: Number) -> fmt::Result {
    match (kind, number) {
        (Kind::Counter, Number::Whole(number)) => metric.encode_counter::<NoLabelSet, _, u64>(&number, None),
        (Kind::Counter, Number::Fraction(number)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(&number, None)
        }
        (_, Number::Whole(number)) => metric.encode_gauge(&number),
        (_, Number::Fraction(number)) => metric.encode_gauge(&number),
    }
}

fn write_histogram(metric: &mut MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    let counts = histogram.counts();
    let bounds = BOUNDS_MS.into_iter().map(|ms| ms as f64 / 1000.0).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(counts).collect();
    let (sum, count) = (histogram.sum().as_secs_f64(), counts.iter().sum());
    metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

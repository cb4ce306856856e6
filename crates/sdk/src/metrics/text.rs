//! Metrics as text, in the format that Prometheus reads.

use super::{Family, Sample, Shared, Value};
use std::fmt::Write;

/// Metrics while they are written.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// What numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A number.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], number: f64) {
        self.0.push_str(name);
        self.labels(labels.iter().copied());
        let _ = writeln!(self.0, " {number}");
    }

    /// A metric with a single number.
    pub fn gauge(&mut self, name: &str, help: &str, number: f64) {
        self.begin(name, Kind::Gauge, help);
        self.sample(name, &[], number);
    }

    /// What was counted; nothing when that is nothing. Families of one name, with labels of their own, stand together.
    pub fn counted(&mut self, families: &[&Family]) {
        let mut begun = false;
        for family in families {
            let samples = family.read();
            let family = &*family.0;
            if !begun && !samples.is_empty() {
                let kind = if family.bounds.is_some() { Kind::Histogram } else { Kind::Counter };
                self.begin(family.name, kind, family.help);
                begun = true;
            }
            self.samples(family, &samples);
        }
    }

    fn samples(&mut self, family: &Shared, samples: &[Sample]) {
        for sample in samples {
            let labels: Vec<(&str, &str)> =
                family.labels.iter().copied().zip(sample.labels.iter().map(|label| &**label)).collect();
            match &sample.value {
                Value::Counter(number) => self.number(family.name, "", &labels, None, number),
                Value::Histogram { buckets, sum } => self.histogram(&labels, family.name, family.bounds, buckets, *sum),
            }
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }

    fn histogram(&mut self, labels: &[(&str, &str)], name: &str, bounds: Option<&[f64]>, buckets: &[u64], sum: f64) {
        let bounds = bounds.unwrap_or_default().iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(buckets) {
            total += count;
            self.number(name, "_bucket", labels, Some(&bound), &total);
        }
        self.number(name, "_count", labels, None, &total);
        self.number(name, "_sum", labels, None, &sum);
    }

    fn number(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        number: &dyn std::fmt::Display,
    ) {
        self.0.extend([name, suffix]);
        self.labels(labels.iter().copied().chain(bound.map(|bound| ("le", bound))));
        let _ = writeln!(self.0, " {number}");
    }

    fn labels<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut separator = '{';
        for (name, value) in labels {
            self.0.push(separator);
            self.0.extend([name, "=\""]);
            for character in value.chars() {
                match character {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.0.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;

    #[test]
    fn text_is_what_prometheus_reads() {
        let metrics = Metrics::default();
        let family = metrics.counter("kong_c", "How many", &["a", "b"]);
        family.counter(&["x", "say \"\\\"\n"]).unwrap().add(3);
        let histogram = metrics.histogram("kong_h", "How long", &["a"], &[0.5, 10.0]);
        let of_x = histogram.histogram_of(&["x"]).unwrap();
        of_x.observe(0.25);
        of_x.observe(10.5);
        let mut text = Exposition::default();
        text.gauge("kong_g", "Now", 1.0);
        text.counted(&[&family]);
        text.counted(&[&histogram]);
        text.counted(&[&metrics.counter("kong_never", "Nothing", &[])]);
        let expected = r#"# HELP kong_g Now
# TYPE kong_g gauge
kong_g 1
# HELP kong_c How many
# TYPE kong_c counter
kong_c{a="x",b="say \"\\\"\n"} 3
# HELP kong_h How long
# TYPE kong_h histogram
kong_h_bucket{a="x",le="0.5"} 1
kong_h_bucket{a="x",le="10"} 1
kong_h_bucket{a="x",le="+Inf"} 2
kong_h_count{a="x"} 2
kong_h_sum{a="x"} 10.75
"#;
        assert_eq!(text.finish(), expected);
    }
}

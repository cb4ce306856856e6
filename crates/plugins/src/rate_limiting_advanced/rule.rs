//! A window, how it goes on, and the most requests in it.

use crate::limits::Span;
use sdk::entities::GroupRates;
use sdk::{Config, Exchange};

/// What a caller may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The shortest window first.
    pub rules: Vec<Rule>,
    /// Up to so many seconds are added to what refused callers are told to wait.
    pub jitter: f64,
}

/// A limit for a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// In seconds.
    pub size: f64,
    pub limit: f64,
    /// What was used of the window before counts on, less and less.
    pub sliding: bool,
}

/// What is used of a window, and whether that is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub used: f64,
    pub refuses: bool,
}

impl Terms {
    /// Those of a configuration.
    pub fn read(config: &Config<'_>) -> Result<Terms, String> {
        let numbers = |field: &str| config.list(field).iter().filter_map(serde_json::Value::as_f64).collect::<Vec<_>>();
        let (sizes, limits) = (numbers("window_size"), numbers("limit"));
        if sizes.len() != limits.len() || sizes.iter().any(|size| *size < 1.0) {
            return Err("config.window_size: does not go with config.limit".to_owned());
        }
        Ok(Terms::of(&GroupRates {
            windows: sizes.into_iter().zip(limits).collect(),
            sliding: config.text("window_type") != Some("fixed"),
            retry_after_jitter_max: config.number("retry_after_jitter_max").unwrap_or(0.0),
        }))
    }

    /// Those of the consumers of a group.
    pub fn of(rates: &GroupRates) -> Terms {
        let rule = |&(size, limit): &(f64, f64)| Rule { size, limit, sliding: rates.sliding };
        let mut rules: Vec<_> = rates.windows.iter().map(rule).collect();
        rules.sort_by(|a, b| a.size.total_cmp(&b.size));
        Terms { rules, jitter: rates.retry_after_jitter_max.max(0.0) }
    }
}

impl Rule {
    /// The window at a time, in milliseconds since 1970.
    pub fn span(&self, now_ms: u64) -> Span {
        let (start, elapsed) = self.position(now_ms);
        Span {
            number: (start / self.size).round() as u64,
            until: (start + 2.0 * self.size).ceil() as u32,
            before_until: (start + self.size).ceil() as u32,
            weight: if self.sliding { (self.size - elapsed) / self.size } else { 0.0 },
        }
    }

    /// When the window began, in whole seconds as other nodes name it.
    pub fn start(&self, now_ms: u64) -> u64 {
        self.position(now_ms).0 as u64
    }

    /// Seconds until there is room again, at least one: until the window ends, or, where what was used slides out of
    /// it, until one more request fits in.
    pub fn reset(&self, now_ms: u64, used: f64) -> u64 {
        let (_, elapsed) = self.position(now_ms);
        let left = self.size - elapsed;
        let excess = used + 1.0 - self.limit;
        // In the window that follows, what was used counts on by its weight.
        let sliding = if excess > 0.0 && used > 0.0 { left + self.size * (excess / used).min(1.0) } else { left };
        (if self.sliding { sliding } else { left }).ceil().max(1.0) as u64
    }

    /// The header lines that show the limit and what is left of it.
    pub fn headers(&self) -> (String, String) {
        let named = [(1.0, "Second"), (60.0, "Minute"), (3_600.0, "Hour"), (86_400.0, "Day"), (2_592_000.0, "Month")];
        let named = named.into_iter().chain([(31_536_000.0, "Year")]).find(|(size, _)| *size == self.size);
        let name = named.map_or_else(|| self.size.to_string(), |(_, name)| name.to_owned());
        (format!("X-RateLimit-Limit-{name}"), format!("X-RateLimit-Remaining-{name}"))
    }

    /// When the window began and how long ago that is, in seconds.
    fn position(&self, now_ms: u64) -> (f64, f64) {
        let now = now_ms as f64 / 1_000.0;
        let start = (now / self.size).floor() * self.size;
        (start, now - start)
    }
}

/// A number from 0 to 1 that is another one for each request.
pub fn fraction(exchange: &Exchange) -> f64 {
    let digits = std::str::from_utf8(&exchange.id[24..]).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    f64::from(digits.unwrap_or(0)) / f64::from(u32::MAX)
}

//! The statuses for which something is done.

use serde_json::Value;
use std::ops::RangeInclusive;

/// Statuses and ranges of them; all, when none is named.
#[derive(Debug, Default)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// `200`, `201-299`.
    pub fn parse(entries: &[String]) -> Result<Statuses, String> {
        entries.iter().map(|entry| range(entry)).collect::<Result<_, _>>().map(Statuses)
    }

    pub fn has(&self, status: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|range| range.contains(&status))
    }
}

/// The check that the schema names.
pub fn is_status(entry: &Value) -> Result<(), String> {
    range(entry.as_str().unwrap_or_default()).map(drop)
}

fn range(entry: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=999).contains(status));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("value '{}' is neither status code nor status code range", entry.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_ranges() {
        let has = |entries: &[&str], status| {
            Statuses::parse(&entries.iter().map(|e| e.to_string()).collect::<Vec<_>>()).unwrap().has(status)
        };
        assert!(has(&[], 200));
        assert!(has(&["404", "500-599"], 503));
        assert!(has(&["404", "500-599"], 404));
        assert!(!has(&["404", "500-599"], 200));
        for wrong in ["", "x", "2", "500-400", "200-", "200-300-400"] {
            assert!(Statuses::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}

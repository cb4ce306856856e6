//! The windows in which use is counted: they begin with the second, minute, hour, day, month or year in UTC.

use jiff::Timestamp;
use jiff::tz::Offset;

/// A kind of window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Window {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

impl Window {
    /// From the shortest to the longest.
    pub const ALL: [Window; 6] =
        [Window::Second, Window::Minute, Window::Hour, Window::Day, Window::Month, Window::Year];

    /// As in the configuration.
    pub fn name(self) -> &'static str {
        ["second", "minute", "hour", "day", "month", "year"][self as usize]
    }

    /// Which window a time (seconds since 1970) falls into, as a number that grows.
    pub fn index(self, now: u64) -> u32 {
        let index = match self {
            Window::Second => now,
            Window::Minute => now / 60,
            Window::Hour => now / 3_600,
            Window::Day => now / 86_400,
            Window::Month | Window::Year => {
                let time = Timestamp::from_second(now as i64).unwrap_or(Timestamp::MAX);
                let date = Offset::UTC.to_datetime(time);
                let year = date.year().unsigned_abs();
                let months = u64::from(year) * 12 + u64::from(date.month().unsigned_abs());
                if self == Window::Year { u64::from(year) } else { months }
            }
        };
        index as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_with_the_calendar() {
        let now = 1_709_251_199; // 2024-02-29 23:59:59
        for window in Window::ALL {
            let begins = u32::from(window != Window::Year);
            assert_eq!(window.index(now) + begins, window.index(now + 1), "{}", window.name());
        }
        assert_eq!(Window::Year.index(1_735_689_599) + 1, Window::Year.index(1_735_689_600));
    }
}

//! The windows in which requests are counted: they begin with the second, minute, hour, day, month or year in UTC.

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
        match self {
            Window::Second => "second",
            Window::Minute => "minute",
            Window::Hour => "hour",
            Window::Day => "day",
            Window::Month => "month",
            Window::Year => "year",
        }
    }

    /// The header lines that show its limit and what is left of it.
    pub fn headers(self) -> (&'static str, &'static str) {
        match self {
            Window::Second => ("X-RateLimit-Limit-Second", "X-RateLimit-Remaining-Second"),
            Window::Minute => ("X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"),
            Window::Hour => ("X-RateLimit-Limit-Hour", "X-RateLimit-Remaining-Hour"),
            Window::Day => ("X-RateLimit-Limit-Day", "X-RateLimit-Remaining-Day"),
            Window::Month => ("X-RateLimit-Limit-Month", "X-RateLimit-Remaining-Month"),
            Window::Year => ("X-RateLimit-Limit-Year", "X-RateLimit-Remaining-Year"),
        }
    }

    /// Its length in seconds as Kong announces it: a month has 30 days, a year 365.
    pub fn seconds(self) -> u32 {
        match self {
            Window::Second => 1,
            Window::Minute => 60,
            Window::Hour => 3_600,
            Window::Day => 86_400,
            Window::Month => 2_592_000,
            Window::Year => 31_536_000,
        }
    }

    /// Until when the window that a time (seconds since 1970) falls into may last: larger for each that follows.
    pub fn until(self, now: u64) -> u32 {
        (self.start(now) + u64::from(self.longest())) as u32
    }

    /// As many seconds as it may take.
    pub fn longest(self) -> u32 {
        match self {
            Window::Month => 31 * 86_400,
            Window::Year => 366 * 86_400,
            _ => self.seconds(),
        }
    }

    /// When it began, in seconds since 1970.
    pub fn start(self, now: u64) -> u64 {
        let days_before = match self {
            Window::Month => date(now / 86_400).2,
            Window::Year => day_of_year(now / 86_400),
            _ => return now - now % u64::from(self.seconds()),
        };
        now - now % 86_400 - days_before * 86_400
    }

    /// Seconds until it ends, at least one.
    pub fn reset(self, now: u64) -> u32 {
        let elapsed = now - self.start(now);
        u64::from(self.seconds()).saturating_sub(elapsed).max(1) as u32
    }
}

/// Year, month and day of the month, the latter two from 0, of a day since 1970 (Gregorian calendar; the method is
/// Howard Hinnant's `civil_from_days`, with years that begin in March).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day + 2) / 153;
    let month = (march_month + 2) % 12;
    let year = year_of_era + era * 400 + u64::from(month < 2);
    (year, month, day - (153 * march_month + 2) / 5)
}

/// Days since the first of January.
fn day_of_year(days: u64) -> u64 {
    let (year, month, day) = date(days);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize];
    before + day + u64::from(leap && month > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 0, 0));
        assert_eq!(date(19_782), (2024, 1, 28));
        assert_eq!(date(19_783), (2024, 2, 0));
        // The last days of 2023 and of 2024, and the first of March between them.
        assert_eq!([19_722, 19_783, 20_088].map(day_of_year), [364, 60, 365]);
    }

    #[test]
    fn windows_begin_with_the_calendar() {
        let now = 1_709_251_199; // 2024-02-29 23:59:59
        for window in Window::ALL {
            let begins = window.until(now) != window.until(now + 1);
            assert_eq!(begins, window != Window::Year, "{}", window.name());
        }
        let starts = Window::ALL.map(|window| window.start(now));
        assert_eq!(starts, [now, now - 59, now - 3_599, 1_709_164_800, 1_706_745_600, 1_704_067_200]);
        assert_eq!(Window::Second.reset(now), 1);
        assert_eq!(Window::Minute.reset(now), 1);
        assert_eq!(Window::Day.reset(now), 1);
        assert_eq!(Window::Minute.reset(now + 1), 60);
        assert_eq!(Window::Month.reset(now), 30 * 86_400 - (29 * 86_400 - 1));
        assert_eq!(Window::Year.reset(now + 1), 365 * 86_400 - 60 * 86_400);
        // The 31st is past Kong's 30 days.
        assert_eq!(Window::Month.reset(1_706_745_599), 1);
    }
}

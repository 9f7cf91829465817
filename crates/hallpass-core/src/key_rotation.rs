//! When an account's signing keys are exchanged for new ones, and how long the old ones are still published.

use crate::time::Timestamp;

/// The least and the most days between two rotations (compatibility, D28).
pub const INTERVAL_DAYS: std::ops::RangeInclusive<u32> = 21..=365;
/// The days between two rotations where nobody has said otherwise: six weeks.
pub const DEFAULT_INTERVAL_DAYS: u32 = 42;
/// For how many days a replaced key is still published: assertions live 24 hours at most, and validators keep what they fetched.
pub const OVERLAP_DAYS: u32 = 7;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// How often an account's keys are rotated, and when that happened last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRotation {
    /// The days from one rotation to the next.
    pub interval_days: u32,
    /// Since when the present key signs; `None` while the account has none.
    pub last: Option<Timestamp>,
}

impl KeyRotation {
    /// When the next rotation is due; `None` while there is no key.
    pub fn next(&self) -> Option<Timestamp> {
        Some(after_days(self.last?, self.interval_days))
    }

    /// Whether the keys are to be rotated now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next().is_some_and(|next| next <= now)
    }

    /// The days until the next rotation, begun ones included; 0 where it is due.
    pub fn days_until_next(&self, now: Timestamp) -> u32 {
        let Some(next) = self.next() else { return self.interval_days };
        let micros = next.as_micros().saturating_sub(now.as_micros()).max(0);
        u32::try_from(micros.saturating_add(DAY_MICROS - 1) / DAY_MICROS).unwrap_or(u32::MAX)
    }
}

/// Until when a key that is replaced now is still published.
pub fn published_until(now: Timestamp) -> Timestamp {
    after_days(now, OVERLAP_DAYS)
}

fn after_days(time: Timestamp, days: u32) -> Timestamp {
    time.checked_add_micros(i64::from(days) * DAY_MICROS).unwrap_or(Timestamp::FOREVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_rotation_is_due_when_its_interval_is_over() {
        let rotation = KeyRotation { interval_days: 30, last: Some(at("2026-06-01T12:00:00Z")) };
        for (now, due, days) in [
            ("2026-05-01T00:00:00Z", false, 62),
            ("2026-06-01T12:00:00Z", false, 30),
            ("2026-06-01T12:00:01Z", false, 30),
            ("2026-06-29T12:00:01Z", false, 2),
            ("2026-07-01T11:59:59Z", false, 1),
            ("2026-07-01T12:00:00Z", true, 0),
            ("2027-07-01T12:00:00Z", true, 0),
        ] {
            assert_eq!((rotation.is_due(at(now)), rotation.days_until_next(at(now))), (due, days), "{now}");
        }
    }

    #[test]
    fn without_a_key_nothing_is_due() {
        let rotation = KeyRotation { interval_days: DEFAULT_INTERVAL_DAYS, last: None };
        assert!(!rotation.is_due(at("2999-01-01T00:00:00Z")));
        assert_eq!(rotation.days_until_next(at("2999-01-01T00:00:00Z")), 42);
    }

    #[test]
    fn a_replaced_key_is_published_for_a_week() {
        assert_eq!(published_until(at("2026-06-01T12:00:00Z")), at("2026-06-08T12:00:00Z"));
    }
}

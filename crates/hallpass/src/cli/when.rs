//! Points in time as people say them: `in 3 days`, `2 hours ago`.

use hallpass_core::time::Timestamp;

use crate::world::World;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Of 365 days, as the durations of tokens count them.
const YEAR: i64 = 365 * DAY;

/// The time from which distances are told: this machine's.
pub(super) fn now() -> Timestamp {
    World::machine().now()
}

/// How far away a point is, in the largest unit of which there are at least one or two.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    if at == Timestamp::FOREVER {
        return "never".to_owned();
    }
    let away = at.as_micros().saturating_sub(now.as_micros());
    let seconds = i64::try_from(away.unsigned_abs() / 1_000_000).unwrap_or(i64::MAX);
    let distance = distance(seconds);
    match (distance, away > 0) {
        (None, true) => "in less than a minute".to_owned(),
        (None, false) => "just now".to_owned(),
        (Some(distance), true) => format!("in {distance}"),
        (Some(distance), false) => format!("{distance} ago"),
    }
}

/// `3 days`, rounded to the nearest; `None` for less than a minute.
fn distance(seconds: i64) -> Option<String> {
    let rounded = |unit: i64| (seconds + unit / 2) / unit;
    let (count, unit) = if seconds < MINUTE {
        return None;
    } else if rounded(MINUTE) < 60 {
        (rounded(MINUTE), "minute")
    } else if rounded(HOUR) < 48 {
        (rounded(HOUR), "hour")
    } else if rounded(DAY) < 60 {
        (rounded(DAY), "day")
    } else if rounded(YEAR / 12) < 24 {
        (rounded(YEAR / 12), "month")
    } else {
        (rounded(YEAR), "year")
    };
    let plural = if count == 1 { "" } else { "s" };
    Some(format!("{count} {unit}{plural}"))
}

/// The date with its distance: `2027-01-01T00:00:00Z (in 3 days)`.
pub(super) fn dated(at: Timestamp, now: Timestamp) -> String {
    if at == Timestamp::FOREVER { "never".to_owned() } else { format!("{at} ({})", relative(at, now)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_the_unit_that_fits() {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        for (at, told) in [
            ("2026-06-01T12:00:00Z", "just now"),
            ("2026-06-01T11:59:01Z", "just now"),
            ("2026-06-01T12:00:59Z", "in less than a minute"),
            ("2026-06-01T12:01:00Z", "in 1 minute"),
            ("2026-06-01T12:59:20Z", "in 59 minutes"),
            ("2026-06-01T12:59:40Z", "in 1 hour"),
            ("2026-06-01T10:00:00Z", "2 hours ago"),
            ("2026-06-03T11:00:00Z", "in 47 hours"),
            ("2026-06-04T12:00:00Z", "in 3 days"),
            ("2026-05-25T12:00:00Z", "7 days ago"),
            ("2026-08-15T12:00:00Z", "in 2 months"),
            ("2027-06-01T12:00:00Z", "in 12 months"),
            ("2029-06-01T12:00:00Z", "in 3 years"),
            ("0000-01-01T00:00:00Z", "2028 years ago"),
            ("2999-12-31T23:59:59Z", "never"),
        ] {
            assert_eq!(relative(at.parse().unwrap(), now), told, "{at}");
        }
        assert_eq!(dated(Timestamp::FOREVER, now), "never");
        assert_eq!(dated(now, now), "2026-06-01T12:00:00Z (just now)");
    }
}

//! Points in time: microseconds since 1970, shown as RFC 3339 in UTC (compatibility, D12).

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what RFC 3339 can write.
const FIRST: i64 = -62_167_219_200 * SECOND;
const LAST: i64 = 253_402_300_800 * SECOND - 1;
const EPOCH: Date = date(1970, 1, 1);

/// A point in time, to the microsecond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not a point in time that can be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 date and time, such as 2027-01-01T00:00:00Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// What is shown as the expiry of a token that never expires: 2999-12-31T23:59:59Z (compatibility, D2).
    pub const FOREVER: Self = Self(32_503_679_999 * SECOND);

    /// From microseconds since 1970; `None` where no date can be printed for it.
    pub fn from_micros(micros: i64) -> Option<Self> {
        (FIRST..=LAST).contains(&micros).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The whole second in which this point lies.
    pub const fn floor_second(self) -> Self {
        Self(self.0.div_euclid(SECOND) * SECOND)
    }

    /// The same point if it is a whole second, else the next whole second.
    pub const fn ceil_second(self) -> Self {
        Self((self.0 + SECOND - 1).div_euclid(SECOND) * SECOND)
    }

    /// Later (or, with a negative number, earlier) by so many microseconds; `None` past the printable range.
    pub fn checked_add_micros(self, micros: i64) -> Option<Self> {
        Self::from_micros(self.0.checked_add(micros)?)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, micros) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let date = EPOCH.checked_add(days.days()).map_err(|_| fmt::Error)?;
        let (seconds, fraction) = (micros / SECOND, micros % SECOND);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{date}T{hours:02}:{minutes:02}:{seconds:02}")?;
        if fraction != 0 {
            f.write_str(format!(".{fraction:06}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339, section 5.6, and nothing else; digits beyond the microsecond are cut off, a leap second counts as the
    /// one before it.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        read(text.as_bytes()).and_then(Self::from_micros).ok_or(InvalidTimestamp)
    }
}

/// `date T time [.fraction] (Z | ±hh:mm)`, in microseconds since 1970.
fn read(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_at_checked(19)?;
    let shape_fits = head.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    });
    let number = |from: usize, to: usize| digits(head.get(from..to)?);
    if !shape_fits {
        return None;
    }
    let date = Date::new(
        i16::try_from(number(0, 4)?).ok()?,
        i8::try_from(number(5, 7)?).ok()?,
        i8::try_from(number(8, 10)?).ok()?,
    );
    let days = i64::from(date.ok()?.since(EPOCH).ok()?.get_days());
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second.min(59);
    let (fraction, offset) = match tail.strip_prefix(b".") {
        None => (0, tail),
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            let nanos = digits(rest.get(..length)?)? * 10_i64.pow(9 - u32::try_from(length).ok()?);
            (nanos / 1_000, rest.get(length..)?)
        }
    };
    let ahead = match offset {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = hours * 3_600 + minutes * 60;
            if *sign == b'+' { ahead } else { -ahead }
        }
        _ => return None,
    };
    Some(days * DAY + (seconds - ahead) * SECOND + fraction)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0_i64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_same_instant_is_printed_in_utc_without_an_idle_fraction() {
        for (sent, shown) in [
            ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T02:30:00+02:30", "2027-01-01T00:00:00Z"),
            ("2027-01-01t00:00:00.000z", "2027-01-01T00:00:00Z"),
            ("2027-01-01T00:00:00.250Z", "2027-01-01T00:00:00.25Z"),
            ("2027-01-01T00:00:00.123456789Z", "2027-01-01T00:00:00.123456Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
            ("2000-02-29T00:00:00-23:59", "2000-02-29T23:59:00Z"),
        ] {
            assert_eq!(at(sent).to_string(), shown);
        }
    }

    #[test]
    fn what_rfc_3339_does_not_know_is_refused() {
        for text in [
            "",
            "2027-01-01",
            "2027-01-01T00:00:00",
            "2027-01-01 00:00:00Z",
            "2027-01-01T00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-02-30T00:00:00Z",
            "2027-01-01T00:00:00.Z",
            "2027-01-01T00:00:00+02",
            "2027-01-01T00:00:00Z[UTC]",
            "+002027-01-01T00:00:00Z",
            "2027-01-01T00:00:00,5Z",
            "2027-01-01T25:00:00Z",
            "0000-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-00:01",
            "2027-01-01T00:00:00+24:00",
            "2027-01-01T00:00:00+00:60",
            "2027-01-01T00:00:00+0200",
            "２027-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(InvalidTimestamp), "{text:?}");
        }
    }

    #[test]
    fn seconds_round_to_the_named_side_before_1970_too() {
        assert_eq!(at("2027-01-01T00:00:00.000001Z").ceil_second(), at("2027-01-01T00:00:01Z"));
        assert_eq!(at("2027-01-01T00:00:00Z").ceil_second(), at("2027-01-01T00:00:00Z"));
        assert_eq!(at("2027-01-01T00:00:00.999999Z").floor_second(), at("2027-01-01T00:00:00Z"));
        assert_eq!(at("1969-12-31T23:59:58.5Z").floor_second(), at("1969-12-31T23:59:58Z"));
        assert_eq!(at("1969-12-31T23:59:58.5Z").ceil_second(), at("1969-12-31T23:59:59Z"));
    }

    #[test]
    fn forever_is_the_documented_constant() {
        assert_eq!(Timestamp::FOREVER.to_string(), "2999-12-31T23:59:59Z");
    }
}

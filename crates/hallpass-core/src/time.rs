//! Points in time: microseconds since 1970, shown as RFC 3339 in UTC (compatibility, D12).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000;

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
        jiff::Timestamp::from_microsecond(micros).ok().map(|_| Self(micros))
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
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => f.write_str("out of range"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads RFC 3339, section 5.6, and nothing else; digits beyond the microsecond are cut off.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        if !has_rfc3339_shape(text.as_bytes()) {
            return Err(InvalidTimestamp);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        Ok(Self(time.as_nanosecond().div_euclid(1_000).try_into().map_err(|_| InvalidTimestamp)?))
    }
}

/// `date T time [.fraction] (Z | ±hh:mm)`. The general parser accepts more than the RFC does, so the shape is checked first.
fn has_rfc3339_shape(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(19) else {
        return false;
    };
    let digits_fit = head.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte.eq_ignore_ascii_case(other),
    });
    let offset = match tail.strip_prefix(b".") {
        None => tail,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            fraction.split_at(digits).1
        }
    };
    digits_fit
        && match offset {
            b"Z" | b"z" => true,
            [b'+' | b'-', rest @ ..] => {
                rest.len() == 5
                    && rest.iter().zip(b"00:00").all(|(byte, shape)| match shape {
                        b'0' => byte.is_ascii_digit(),
                        other => byte == other,
                    })
            }
            _ => false,
        }
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
            "9999-12-31T23:59:59Z",
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

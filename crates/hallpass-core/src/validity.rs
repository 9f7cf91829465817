//! How long a token is good for: Go's duration grammar, or `forever` (compatibility, D2, D3 and D12).
//!
//! The text that a client sent is the text that it gets back, so a duration is kept as text beside its value.

use crate::time::Timestamp;

/// A hundred years of 365 days, in nanoseconds: the longest validity.
const LONGEST: i64 = 876_000 * 3_600 * 1_000_000_000;
/// The text is stored and sent back, so it is bounded, in characters: a µ is one.
const MAX_TEXT: usize = 64;
/// Go counts durations as signed 64-bit nanoseconds; the magnitude of the smallest one is one more than fits above zero.
const LIMIT: u64 = 1 << 63;

/// How long a token is good for, counted from its creation, its refresh or a change of this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// For so long.
    For(GoDuration),
    /// It never expires.
    Forever,
}

/// Why a text is no validity. The message names the rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Outside Go's grammar.
    #[error(
        "duration must be \"forever\" or a sequence of numbers with units ns, us, ms, s, m, h, such as 8760h or 1h30m"
    )]
    Grammar,
    /// More than 2^63 nanoseconds.
    #[error("duration is too large: it overflows 64-bit nanoseconds; the longest is 876000h (100 years)")]
    Overflow,
    /// Zero.
    #[error("duration must be greater than zero")]
    Zero,
    /// Below zero.
    #[error("duration must not be negative")]
    Negative,
    /// A text that nobody needs.
    #[error("duration must have at most 64 characters")]
    Text,
    /// More than 100 years.
    #[error("duration must be at most 876000h (100 years), or \"forever\"")]
    TooLong,
}

impl Validity {
    /// What a token gets when its creator does not say: `8760h`, one year.
    pub fn one_year() -> Self {
        Self::For(GoDuration { text: "8760h".to_owned(), nanos: 8_760 * 3_600 * 1_000_000_000 })
    }

    /// Reads a duration above zero and of at most 100 years, or `forever`.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        if text.chars().count() > MAX_TEXT {
            return Err(InvalidDuration::Text);
        }
        let duration = GoDuration::parse(text)?;
        match duration.nanos {
            i64::MIN..=-1 => Err(InvalidDuration::Negative),
            0 => Err(InvalidDuration::Zero),
            1..=LONGEST => Ok(Self::For(duration)),
            _ => Err(InvalidDuration::TooLong),
        }
    }

    /// The text as it was sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::For(duration) => &duration.text,
            Self::Forever => "forever",
        }
    }

    /// Whether both last equally long, however they are written: `60m` and `1h` do.
    pub fn lasts_as_long_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::For(one), Self::For(two)) => one.nanos == two.nanos,
            (Self::Forever, Self::Forever) => true,
            _ => false,
        }
    }

    /// When a token expires whose time starts `now`: counted from the next whole second, so that nobody gets less than was
    /// promised. `Ok(None)` means never; an error, that the date would lie past the printable range.
    pub fn expiry_from(&self, now: Timestamp) -> Result<Option<Timestamp>, InvalidDuration> {
        let Self::For(duration) = self else {
            return Ok(None);
        };
        let micros = duration.nanos / 1_000 + i64::from(duration.nanos % 1_000 != 0);
        now.ceil_second().checked_add_micros(micros).map(Some).ok_or(InvalidDuration::TooLong)
    }
}

/// A duration as Go's `time.ParseDuration` reads it, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoDuration {
    text: String,
    nanos: i64,
}

impl GoDuration {
    /// Reads `[-+]?(0|(number unit)+)`, where a number may have a fraction. Agrees with Go on every text, overflow and
    /// rounding included.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', ..] => (true, text.split_at(1).1),
            [b'+', ..] => (false, text.split_at(1).1),
            _ => (false, text),
        };
        let magnitude = if unsigned == "0" { 0 } else { sum_of_terms(unsigned)? };
        let nanos =
            if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
        Ok(Self { text: text.to_owned(), nanos: nanos.ok_or(InvalidDuration::Overflow)? })
    }

    /// Nanoseconds.
    pub fn as_nanos(&self) -> i64 {
        self.nanos
    }
}

fn sum_of_terms(mut rest: &str) -> Result<u64, InvalidDuration> {
    if rest.is_empty() {
        return Err(InvalidDuration::Grammar);
    }
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(InvalidDuration::Grammar);
        }
        let unit_length = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let unit = nanos_per(unit)?;
        let whole = whole_number(whole)?.checked_mul(unit).filter(|nanos| *nanos <= LIMIT);
        let term = whole.and_then(|whole| whole.checked_add(part_of(unit, fraction)));
        sum = term
            .and_then(|term| sum.checked_add(term))
            .filter(|sum| *sum <= LIMIT)
            .ok_or(InvalidDuration::Overflow)?;
        rest = after;
    }
    Ok(sum)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanos_per(unit: &str) -> Result<u64, InvalidDuration> {
    Ok(match unit {
        "ns" => 1,
        // Micro comes in two spellings: the micro sign U+00B5 and the Greek letter mu U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return Err(InvalidDuration::Grammar),
    })
}

fn whole_number(digits: &str) -> Result<u64, InvalidDuration> {
    digits
        .bytes()
        .try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')).filter(|sum| *sum <= LIMIT)
        })
        .ok_or(InvalidDuration::Overflow)
}

/// The fraction `0.digits` of a unit, in nanoseconds, cut off as Go cuts it: digits that no longer fit 63 bits are ignored, and
/// the multiplication is done in floating point.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the result has to agree with Go's, which computes in float64 and truncates"
)]
fn part_of(unit: u64, digits: &str) -> u64 {
    let mut value = 0_u64;
    let mut scale = 1_f64;
    for digit in digits.bytes() {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        match next.filter(|next| value <= (LIMIT - 1) / 10 && *next <= LIMIT) {
            Some(next) => value = next,
            None => break,
        }
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_text_is_counted_in_characters() {
        let longest = format!("{}1µs", "0".repeat(61));
        assert_eq!((longest.chars().count(), longest.len()), (64, 65));
        assert_eq!(Validity::parse(&longest).unwrap().as_str(), longest);
        assert_eq!(Validity::parse(&format!("0{longest}")), Err(InvalidDuration::Text));
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn durations_agree_with_go() {
        let vectors: Vec<(String, Option<i64>)> =
            serde_json::from_str(include_str!("../tests/data/go_durations.json")).unwrap();
        assert!(vectors.len() > 200);
        for (text, expected) in vectors {
            assert_eq!(
                GoDuration::parse(&text).ok().map(|duration| duration.as_nanos()),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn each_refusal_names_its_rule() {
        for (text, error) in [
            ("", InvalidDuration::Grammar),
            ("1d", InvalidDuration::Grammar),
            ("Forever", InvalidDuration::Grammar),
            ("60", InvalidDuration::Grammar),
            ("0", InvalidDuration::Zero),
            ("0h", InvalidDuration::Zero),
            ("0.1ns", InvalidDuration::Zero),
            ("-1m", InvalidDuration::Negative),
            ("876000h1ns", InvalidDuration::TooLong),
            ("2562047h", InvalidDuration::TooLong),
            ("2562048h", InvalidDuration::Overflow),
            ("9223372036854775808ns", InvalidDuration::Overflow),
            (&format!("{}1h", "0".repeat(63)), InvalidDuration::Text),
        ] {
            assert_eq!(Validity::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_text_sent_is_the_text_kept() {
        for text in ["8760h", "1.5h", "+60m", ".5s", "1.s", "300ms", "1\u{b5}s", "876000h", "forever"] {
            assert_eq!(Validity::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn the_default_is_what_its_text_says() {
        assert_eq!(Validity::parse("8760h"), Ok(Validity::one_year()));
    }

    #[test]
    fn expiry_counts_from_the_next_whole_second() {
        for (now, duration, expiry) in [
            ("2026-01-01T00:00:00Z", "60m", "2026-01-01T01:00:00Z"),
            ("2026-01-01T00:00:00.000001Z", "60m", "2026-01-01T01:00:01Z"),
            ("2026-01-01T00:00:00.9Z", "300ms", "2026-01-01T00:00:01.3Z"),
            ("2026-01-01T00:00:00Z", "1ns", "2026-01-01T00:00:00.000001Z"),
            ("2026-01-01T00:00:00Z", "876000h", "2125-12-08T00:00:00Z"),
        ] {
            let validity = Validity::parse(duration).unwrap();
            assert_eq!(validity.expiry_from(at(now)), Ok(Some(at(expiry))), "{now} {duration}");
        }
        assert_eq!(Validity::Forever.expiry_from(at("2026-01-01T00:00:00Z")), Ok(None));
    }

    #[test]
    fn an_expiry_past_the_last_date_is_refused_not_wrapped() {
        let late = at("9950-01-01T00:00:00Z");
        assert_eq!(Validity::parse("876000h").unwrap().expiry_from(late), Err(InvalidDuration::TooLong));
    }
}

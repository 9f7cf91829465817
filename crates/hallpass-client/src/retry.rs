//! Whether to try again, and when.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// The first pause without a word from the server; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause without a word from the server.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The longest pause that a server can ask for. Whoever is to wait for longer is told so instead.
const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// What it would mean to send a request twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Nothing worse than sending it once.
    Harmless,
    /// A second object, or the loss of a secret that nobody has seen yet.
    Costly,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was no connection: the server has not seen the request.
    NotSent,
    /// The connection broke, or time ran out: nobody knows.
    NoReply,
    /// The server answered that it will not, or cannot.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What `x-should-retry` says.
        should_retry: Option<bool>,
    },
    /// The server did it, or something that no second attempt would change.
    Final,
}

impl Outcome {
    /// Whether the server may have done what was asked.
    pub(crate) fn may_have_acted(self) -> bool {
        match self {
            Self::NotSent | Self::Refused { status: 429, .. } => false,
            Self::NoReply | Self::Refused { .. } | Self::Final => true,
        }
    }

    /// Whether another attempt is safe, and may help.
    pub(crate) fn allows_retry(self, repeat: Repeat) -> bool {
        match self {
            Self::Refused { should_retry: Some(word), .. } => word,
            Self::Refused { status: 429, .. } | Self::NotSent => true,
            Self::Refused { status: 408 | 500 | 502 | 503 | 504, .. } | Self::NoReply => {
                repeat == Repeat::Harmless
            }
            Self::Refused { .. } | Self::Final => false,
        }
    }
}

/// The pause before retry `number`, which counts from 1; `random` makes it shorter, by up to a quarter. `None` where the server asks
/// for more time than anybody waits.
pub(crate) fn pause(number: u32, asked: Option<Duration>, random: u8) -> Option<Duration> {
    if let Some(asked) = asked {
        return (asked <= LONGEST_ASKED).then_some(asked);
    }
    let doubled = 2_u32.saturating_pow(number.saturating_sub(1));
    let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
    Some(pause.saturating_sub(pause * u32::from(random) / 1_024))
}

/// What `Retry-After` asks for. A date counts from the reply's own `Date`, so that no clock need be right but the server's.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let date = |text: &str| -> Option<SystemTime> { httpdate::parse_http_date(text).ok() };
    let asked = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, sent) = (date(asked)?, date(text(DATE)?)?);
    Some(until.duration_since(sent).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Outcome {
        Outcome::Refused { status, should_retry: None }
    }

    #[test]
    fn a_costly_request_is_repeated_only_if_nothing_was_done() {
        for outcome in [Outcome::NotSent, refused(429)] {
            assert!(outcome.allows_retry(Repeat::Costly) && outcome.allows_retry(Repeat::Harmless));
            assert!(!outcome.may_have_acted());
        }
        for outcome in
            [Outcome::NoReply, refused(408), refused(500), refused(502), refused(503), refused(504)]
        {
            assert!(
                !outcome.allows_retry(Repeat::Costly) && outcome.allows_retry(Repeat::Harmless),
                "{outcome:?}"
            );
            assert!(outcome.may_have_acted());
        }
        for outcome in [Outcome::Final, refused(301), refused(400), refused(404), refused(409), refused(501)]
        {
            assert!(!outcome.allows_retry(Repeat::Harmless), "{outcome:?}");
        }
    }

    #[test]
    fn the_server_has_the_last_word() {
        for (status, word) in [(503, false), (429, false), (409, true), (500, true)] {
            let outcome = Outcome::Refused { status, should_retry: Some(word) };
            for repeat in [Repeat::Harmless, Repeat::Costly] {
                assert_eq!(outcome.allows_retry(repeat), word, "{status}");
            }
        }
    }

    #[test]
    fn pauses_double_up_to_eight_seconds_and_lose_a_quarter_at_most() {
        let longest = [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000];
        for (number, longest) in (1..).zip(longest.map(Duration::from_millis)) {
            assert_eq!(pause(number, None, 0), Some(longest));
            let shortest = pause(number, None, 255).unwrap();
            assert!(shortest < longest && shortest > longest * 3 / 4, "{shortest:?}");
        }
        assert_eq!(pause(u32::MAX, None, 0), Some(LONGEST_PAUSE));
    }

    #[test]
    fn what_the_server_asks_for_counts_unless_it_is_too_much() {
        for (seconds, expected) in [(0, Some(0)), (60, Some(60)), (61, None), (u64::MAX, None)] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(pause(3, Some(Duration::from_secs(seconds)), 255), expected);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let asked = |after: &'static str, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            headers.extend(date.map(|date| (DATE, date.parse().unwrap())));
            asked(&headers).map(|pause| pause.as_secs())
        };
        let now = Some("Sun, 22 Nov 2026 01:00:00 GMT");
        assert_eq!(asked(" 7 ", None), Some(7));
        assert_eq!(asked("Sun, 22 Nov 2026 01:00:30 GMT", now), Some(30));
        assert_eq!(asked("Sun, 22 Nov 2026 00:00:00 GMT", now), Some(0));
        assert_eq!(asked("Sun, 22 Nov 2026 01:00:30 GMT", None), None);
        for nonsense in ["-1", "1.5", "soon", ""] {
            assert_eq!(asked(nonsense, now), None, "{nonsense}");
        }
    }
}

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
    match asked {
        Some(asked) => (asked <= LONGEST_ASKED).then_some(asked),
        None => {
            let doubled = 2_u32.saturating_pow(number.saturating_sub(1));
            let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
            Some(pause - pause * u32::from(random) / 1_024)
        }
    }
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

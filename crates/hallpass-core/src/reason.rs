//! Why a request was refused: one word for logs and metrics, one number for sealed references, one HTTP status, and two
//! sentences for the owner: what it means, and what to do.
//!
//! Whoever is refused learns the status alone (compatibility, D23 and D25).

use std::fmt;

use crate::app::App;

/// Why a request was refused. Numbers and words never change, because references and logs outlive a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// It presented nothing.
    NoCredential,
    /// What it presented cannot be a credential: half of a pair, twice the same header, both forms at once.
    Malformed,
    /// No service token of the application's account has that client ID.
    Unknown,
    /// The token is known, and the secret is not its secret.
    WrongSecret,
    /// The secret is right, and the token is switched off.
    Disabled,
    /// The secret is right, and the token's time is over.
    Expired,
    /// The token is valid, and no policy lets it in.
    NotAllowed,
    /// No application covers that host and path.
    NoApp,
    /// The gate has not heard from the store for too long.
    Stale,
    /// The key that signs assertions is missing.
    NoKey,
    /// The clock stands before a time that the store has already seen.
    Clock,
    /// Host, path, addresses or forwarded headers can be read in more than one way.
    Ambiguous,
    /// The peer speaks for a client and is not trusted to.
    Untrusted,
}

impl Reason {
    /// All of them, by number.
    pub const ALL: [Self; 13] = [
        Self::NoCredential,
        Self::Malformed,
        Self::Unknown,
        Self::WrongSecret,
        Self::Disabled,
        Self::Expired,
        Self::NotAllowed,
        Self::NoApp,
        Self::Stale,
        Self::NoKey,
        Self::Clock,
        Self::Ambiguous,
        Self::Untrusted,
    ];

    /// Its number, from 1.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoCredential => 1,
            Self::Malformed => 2,
            Self::Unknown => 3,
            Self::WrongSecret => 4,
            Self::Disabled => 5,
            Self::Expired => 6,
            Self::NotAllowed => 7,
            Self::NoApp => 8,
            Self::Stale => 9,
            Self::NoKey => 10,
            Self::Clock => 11,
            Self::Ambiguous => 12,
            Self::Untrusted => 13,
        }
    }

    /// The reason with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Its word, for logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCredential => "no_credential",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::WrongSecret => "wrong_secret",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::NotAllowed => "not_allowed",
            Self::NoApp => "no_app",
            Self::Stale => "stale",
            Self::NoKey => "no_key",
            Self::Clock => "clock",
            Self::Ambiguous => "ambiguous",
            Self::Untrusted => "untrusted",
        }
    }

    /// The reason with that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The HTTP status of the refusal (compatibility, D23). The application has a say where nothing was presented; where none
    /// was found, it has none.
    pub fn status(self, app: Option<&App>) -> u16 {
        match self {
            Self::NoCredential if app.is_some_and(|app| app.service_auth_401) => 401,
            Self::NoCredential | Self::NotAllowed | Self::NoApp | Self::Untrusted => 403,
            Self::Malformed | Self::Unknown | Self::WrongSecret | Self::Disabled | Self::Expired => 401,
            Self::Stale | Self::NoKey | Self::Clock => 503,
            Self::Ambiguous => 400,
        }
    }

    /// What it means, as a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoCredential => "The request presented no service token.",
            Self::Malformed => {
                "The request presented something that cannot be a credential: half of a pair, a header twice, a client ID \
                 that was never issued in this form, or the pair and the single header at once."
            }
            Self::Unknown => {
                "No service token of the application's account has the client ID that was presented."
            }
            Self::WrongSecret => {
                "The service token is known, but the secret is neither its current one nor a previous one that still counts."
            }
            Self::Disabled => "The secret is right, but the service token is disabled.",
            Self::Expired => "The secret is right, but the service token has expired.",
            Self::NotAllowed => {
                "The service token is valid, but no Service Auth policy of the application lets it in."
            }
            Self::NoApp => "No application covers this host and path, and what is not covered is refused.",
            Self::Stale => {
                "The gate had not heard from the store for so long that it no longer trusted what it knew."
            }
            Self::NoKey => "The key that signs the application's assertions was missing.",
            Self::Clock => "The machine's clock stood before a time that the store had already seen.",
            Self::Ambiguous => {
                "The host, the path or a forwarded header could be read in more than one way, and two readers might have \
                 disagreed about what was asked for."
            }
            Self::Untrusted => {
                "The peer that asked on behalf of a client is not among those that are trusted to do so."
            }
        }
    }

    /// What its owner can do about it, as a sentence.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::NoCredential => {
                "Send the headers CF-Access-Client-Id and CF-Access-Client-Secret, and see that the proxy hands them on to \
                 the gate."
            }
            Self::Malformed => {
                "Send each of the two headers once, exactly as the token was issued, or the single header that the \
                 application names, not both."
            }
            Self::Unknown => {
                "Look whether the client ID was cut off or mistyped, whether the token was deleted, and whether it belongs \
                 to the same account as the application."
            }
            Self::WrongSecret => {
                "Give the client the secret of the last rotation; if nobody has it any more, rotate again, with a grace for \
                 the previous one if that is still in use."
            }
            Self::Disabled => {
                "Enable the token if it is meant to work; if it is not, find out who still uses it."
            }
            Self::Expired => "Refresh the token, which keeps its secret, and set an alert for the next time.",
            Self::NotAllowed => {
                "Add the token to a policy of the application whose decision is non_identity (Service Auth); an allow \
                 policy never lets a token in. hallpass explain shows rule by rule what does not fit."
            }
            Self::NoApp => {
                "Create an application for this host and path, or correct the host that the proxy hands on to the gate."
            }
            Self::Stale => {
                "Look at the store and at the way to it: hallpass doctor says whether it answers. The gate goes on by \
                 itself when it does."
            }
            Self::NoKey => {
                "Look whether the server key is the one with which the signing keys were made: hallpass doctor compares \
                 them."
            }
            Self::Clock => {
                "Set the machine's clock right, and see that it is kept right, by NTP for instance."
            }
            Self::Ambiguous => {
                "Ask for the plain form: no dot segments, no doubled or escaped slashes, one Host. If the proxy made it so, \
                 compare its configuration with the documented one."
            }
            Self::Untrusted => {
                "Add the proxy's address to gate.trusted_peers, if it is your proxy; if it is not, nobody else should reach \
                 the gate."
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

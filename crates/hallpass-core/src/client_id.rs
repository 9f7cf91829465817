//! The public half of a credential: 32 lower-case hex digits, `.access`, and perhaps a dotted suffix (compatibility, D10).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::decode_hex;

const MARK: &str = ".access";
/// A host name's limit serves for the suffix too; nothing longer was ever issued.
const MAX_LENGTH: usize = 253;

/// A client ID as issued. Equality is that of the whole text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientId {
    text: String,
    /// What its digits say.
    bytes: [u8; 16],
}

/// The text is not a client ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client ID is 32 lower-case hex digits followed by .access")]
pub struct InvalidClientId;

impl ClientId {
    /// A new client ID from 16 random bytes.
    pub fn random(bytes: [u8; 16]) -> Self {
        Self { text: format!("{:032x}{MARK}", u128::from_be_bytes(bytes)), bytes }
    }

    /// The 32 hex digits, by which a token is found and of which no two tokens have the same.
    pub fn digits(&self) -> &str {
        self.text.get(..32).unwrap_or_default()
    }

    /// The 16 bytes that the digits say.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.bytes
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, InvalidClientId> {
        let (digits, rest) = text.split_at_checked(32).ok_or(InvalidClientId)?;
        let bytes = decode_hex(digits.as_bytes()).ok_or(InvalidClientId)?;
        let suffix = rest.strip_prefix(MARK).ok_or(InvalidClientId)?;
        let label_fits = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        let suffix_fits = match suffix.strip_prefix('.') {
            Some(labels) => labels.split('.').all(label_fits),
            None => suffix.is_empty(),
        };
        let fits = suffix_fits && text.len() <= MAX_LENGTH;
        if fits { Ok(Self { text: text.to_owned(), bytes }) } else { Err(InvalidClientId) }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issued_and_the_documented_forms_are_client_ids() {
        for text in
            ["88bf3b6d86161464f6509f7219099e57.access", "88bf3b6d86161464f6509f7219099e57.access.example.com"]
        {
            assert_eq!(text.parse::<ClientId>().unwrap().as_str(), text);
        }
        assert_eq!(ClientId::random([1; 16]).as_str(), "01010101010101010101010101010101.access");
    }

    #[test]
    fn anything_else_is_malformed() {
        for text in [
            "",
            "88bf3b6d86161464f6509f7219099e57",
            "88BF3B6D86161464F6509F7219099E57.access",
            "88bf3b6d86161464f6509f7219099e57.Access",
            "88bf3b6d86161464f6509f7219099e57.access.",
            "88bf3b6d86161464f6509f7219099e57.accessory",
            "88bf3b6d86161464f6509f7219099e57.access..com",
            "88bf3b6d86161464f6509f7219099e57.access.Example.com",
            " 88bf3b6d86161464f6509f7219099e57.access",
        ] {
            assert_eq!(text.parse::<ClientId>(), Err(InvalidClientId), "{text:?}");
        }
    }
}

//! One type for each kind of identifier, so that an account's id can never stand where a zone's belongs.
//!
//! Identifiers are accepted only as they are issued: lower case, full length.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not an identifier of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid identifier")]
pub struct InvalidId;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $read:ident, $write:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// An identifier from 16 random bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Its 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                $read(text).map(Self).ok_or(InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier!(
    /// An account: 32 lower-case hex digits.
    AccountId, read_hex, write_hex);
identifier!(
    /// A zone: 32 lower-case hex digits.
    ZoneId, read_hex, write_hex);
identifier!(
    /// A user: 32 lower-case hex digits.
    UserId, read_hex, write_hex);
identifier!(
    /// A user's membership of an account: 32 lower-case hex digits.
    MembershipId, read_hex, write_hex);
identifier!(
    /// An API token: 32 lower-case hex digits. It is no secret.
    ApiTokenId, read_hex, write_hex);
identifier!(
    /// A policy of an API token: 32 lower-case hex digits.
    TokenPolicyId, read_hex, write_hex);
identifier!(
    /// A permission group: 32 lower-case hex digits, the same in every account.
    PermissionGroupId, read_hex, write_hex);
identifier!(
    /// One request, as it appears in `X-Request-Id`, in the log and in the audit row.
    RequestId, read_hex, write_hex);
identifier!(
    /// A service token: a lower-case UUID.
    ServiceTokenId, read_uuid, write_uuid);
identifier!(
    /// An application: a lower-case UUID. It is not its audience tag.
    AppId, read_uuid, write_uuid);
identifier!(
    /// A policy of applications: a lower-case UUID.
    PolicyId, read_uuid, write_uuid);
identifier!(
    /// A group of rules: a lower-case UUID.
    GroupId, read_uuid, write_uuid);

macro_rules! random_uuid {
    ($($name:ident),*) => {$(
        impl $name {
            /// A version 4 UUID from 16 random bytes.
            pub fn random(bytes: [u8; 16]) -> Self {
                Self(version_4(bytes))
            }
        }
    )*};
}

random_uuid!(ServiceTokenId, AppId, PolicyId, GroupId);

fn version_4(mut bytes: [u8; 16]) -> [u8; 16] {
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    bytes
}

impl UserId {
    /// The nil identifier: a user that never exists.
    pub const NIL: Self = Self([0; 16]);
}

impl AccountId {
    /// The nil identifier: an account that never exists.
    pub const NIL: Self = Self([0; 16]);
}

impl PermissionGroupId {
    /// An identifier written in the source; all zeros if it is not hex.
    pub(crate) const fn from_source(hex: &str) -> Self {
        match u128::from_str_radix(hex, 16) {
            Ok(value) => Self(value.to_be_bytes()),
            Err(_) => Self([0; 16]),
        }
    }
}

/// Reads pairs of lower-case hex digits; `None` unless they are exactly enough. It does not branch on a digit: which one comes next
/// cannot be predicted, and a start with a million tokens reads a hundred million of them.
pub(crate) fn decode_hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    const WRONG: u8 = 0xff;
    let value = |digit: u8| match (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a')) {
        (number @ 0..=9, _) => number,
        (_, letter @ 0..=5) => letter + 10,
        _ => WRONG,
    };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let (mut out, mut seen) = ([0; N], 0);
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (value(*high), value(*low));
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (seen != WRONG).then_some(out)
}

fn read_hex(text: &str) -> Option<[u8; 16]> {
    decode_hex(text.as_bytes())
}

fn write_hex(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{:032x}", u128::from_be_bytes(*bytes))
}

/// The groups of a UUID, in hex digits.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

fn read_uuid(text: &str) -> Option<[u8; 16]> {
    let (mut digits, mut rest) = ([0; 32], text.as_bytes());
    let mut places = digits.as_mut_slice();
    for length in UUID_GROUPS {
        let (group, behind) = rest.split_at_checked(length)?;
        let (place, left) = places.split_at_mut_checked(length)?;
        place.copy_from_slice(group);
        places = left;
        // One hyphen stands between two groups, and nothing behind the last.
        rest = if places.is_empty() { behind } else { behind.strip_prefix(b"-")? };
    }
    if rest.is_empty() { decode_hex(&digits) } else { None }
}

fn write_uuid(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // By hand, not by `{:x}`: the gate needs this text for every digest that it makes. And by arithmetic alone: a branch on a digit
    // of nobody's id, which stands in for an unknown client ID, could be predicted, and one on others' could not.
    let mut digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let mut text = [b'-'; 36];
    let (mut rest, mut groups) = (text.as_mut_slice(), UUID_GROUPS.into_iter());
    while let Some((group, behind)) = groups.next().and_then(|length| rest.split_at_mut_checked(length)) {
        for (place, digit) in group.iter_mut().zip(&mut digits) {
            *place = b'0' + digit + ((digit + 6) >> 4) * (b'a' - b'9' - 1);
        }
        // One hyphen stays as it is.
        rest = behind.get_mut(1..).unwrap_or_default();
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_print_as_they_were_read() {
        let hex = "023e105f4ecef8ad9ca31a8372d0c353";
        assert_eq!(hex.parse::<AccountId>().unwrap().to_string(), hex);
        let uuid = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
        assert_eq!(uuid.parse::<ServiceTokenId>().unwrap().to_string(), uuid);
    }

    #[test]
    fn only_the_issued_form_is_an_identifier() {
        for text in [
            "",
            "0",
            "023E105F4ECEF8AD9CA31A8372D0C353",
            "023e105f4ecef8ad9ca31a8372d0c35",
            "023e105f4ecef8ad9ca31a8372d0c3533",
            "g23e105f4ecef8ad9ca31a8372d0c353",
            "f174e90a-fafe-4643-bbbc-4a0ed4fc8415",
        ] {
            assert_eq!(text.parse::<AccountId>(), Err(InvalidId), "{text:?}");
        }
        for text in [
            "",
            "f174e90afafe4643bbbc4a0ed4fc8415",
            "F174E90A-FAFE-4643-BBBC-4A0ED4FC8415",
            "f174e90a-fafe-4643-bbbc-4a0ed4fc841",
            "f174e90af-afe-4643-bbbc-4a0ed4fc8415",
            "f174e90a-fafe-4643-bbbc-4a0ed4fc84é",
        ] {
            assert_eq!(text.parse::<ServiceTokenId>(), Err(InvalidId), "{text:?}");
        }
    }

    #[test]
    fn a_new_service_token_id_is_a_version_4_uuid() {
        let id = ServiceTokenId::random([0xff; 16]).to_string();
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}

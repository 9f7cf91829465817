//! Reading a request's body: strict JSON, every field looked at, all errors at once.

use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// A JSON pointer to the culprit; empty for the body as a whole.
    pub pointer: String,
    /// The rule that was broken. It never repeats what was sent.
    pub message: String,
}

/// Reads JSON from a body. An empty one is `null`: some clients announce JSON and send nothing. A key that
/// stands twice in one object is an error, because two readers could understand it differently.
pub fn parse(bytes: &[u8]) -> Result<Value, InvalidField> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    let read = std::str::from_utf8(bytes).map_err(|_| "the body is not valid UTF-8".to_owned());
    read.and_then(|text| {
        serde_json::from_str(text).map_err(|error| format!("the body is not valid JSON: {error}"))
    })
    .map(|Unambiguous(value)| value)
    .map_err(|message| InvalidField { pointer: String::new(), message })
}

/// The fields of one JSON object, and what was found wrong with them so far.
#[derive(Debug)]
pub struct Fields<'a> {
    object: Option<&'a Map<String, Value>>,
    pointer: String,
    errors: Vec<InvalidField>,
}

impl<'a> Fields<'a> {
    /// The fields of a body that may be missing as a whole.
    pub fn of_body(body: &'a Value) -> Result<Self, Vec<InvalidField>> {
        match body {
            Value::Null => Ok(Self { object: None, pointer: String::new(), errors: Vec::new() }),
            Value::Object(object) => Ok(Self::of_object(object, String::new())),
            _ => Err(vec![InvalidField {
                pointer: String::new(),
                message: "the body must be a JSON object".to_owned(),
            }]),
        }
    }

    /// The fields of an object found at `pointer`.
    pub fn of_object(object: &'a Map<String, Value>, pointer: String) -> Self {
        Self { object: Some(object), pointer, errors: Vec::new() }
    }

    /// The keys that were sent.
    pub fn keys(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.object.into_iter().flat_map(Map::keys)
    }

    /// The whole object.
    pub fn whole(&self) -> Value {
        self.object.map_or(Value::Null, |object| Value::Object(object.clone()))
    }

    /// The fields as they were sent, without `null`s and without those that are named.
    pub fn kept(&self, without: &[&str]) -> Map<String, Value> {
        let mut kept = self.object.cloned().unwrap_or_default();
        kept.retain(|key, value| !value.is_null() && !without.contains(&key.as_str()));
        kept
    }

    /// A pointer to one of the fields.
    pub fn pointer_to(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, escape(key))
    }

    /// Notes that a field breaks a rule.
    pub fn refuse(&mut self, key: &str, rule: impl fmt::Display) {
        self.errors.push(InvalidField { pointer: self.pointer_to(key), message: rule.to_string() });
    }

    /// Notes what was found wrong inside a field.
    pub fn refuse_all(&mut self, errors: Vec<InvalidField>) {
        self.errors.extend(errors);
    }

    /// A field, if it was sent; `null` counts as not sent.
    pub fn value(&self, key: &str) -> Option<&'a Value> {
        self.object?.get(key).filter(|value| !value.is_null())
    }

    /// Whether a field was sent as an explicit `null`.
    pub fn is_null(&self, key: &str) -> bool {
        self.object.and_then(|object| object.get(key)).is_some_and(Value::is_null)
    }

    /// A field that must be a text, if it was sent.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        self.typed(key, "must be a string", Value::as_str)
    }

    /// A field that must be true or false, if it was sent.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.typed(key, "must be true or false", Value::as_bool)
    }

    /// A field that must be a list, if it was sent.
    pub fn list(&mut self, key: &str) -> Option<&'a [Value]> {
        self.typed(key, "must be an array", |value| value.as_array().map(Vec::as_slice))
    }

    /// A field that must be an object, if it was sent.
    pub fn object(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        self.typed(key, "must be an object", Value::as_object)
    }

    /// A text that is read by a rule, if it was sent.
    pub fn parsed<T, E: fmt::Display>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match read(self.text(key)?) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.refuse(key, rule);
                None
            }
        }
    }

    /// A whole number within a range, if it was sent; `2.0` is one too.
    pub fn whole_number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.typed(key, "must be a number", Value::as_number)?;
        let whole = whole(number).filter(|number| range.contains(number));
        if whole.is_none() {
            let (least, most) = range.into_inner();
            self.refuse(key, format_args!("{key} must be a whole number from {least} to {most}"));
        }
        whole
    }

    /// Ends the reading: `value`, if nothing was wrong. A reader returns `None` only where it has noted an error.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<InvalidField>> {
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors),
        }
    }

    fn typed<T>(&mut self, key: &str, rule: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let read = read(self.value(key)?);
        if read.is_none() {
            self.refuse(key, format_args!("{key} {rule}"));
        }
        read
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the guard lets only whole numbers in range pass"
)]
fn whole(number: &Number) -> Option<u32> {
    if let Some(number) = number.as_u64() {
        return u32::try_from(number).ok();
    }
    let fits = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    number.as_f64().filter(fits).map(|number| number as u32)
}

/// Escapes a key for use in a JSON pointer (RFC 6901, section 3).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A JSON value in which no object has the same key twice.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unambiguous(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Unambiguous(value))) = entries.next_entry::<String, Unambiguous>()? {
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("an object has the same key twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_body_is_no_malformed_one() {
        assert_eq!(parse(b""), Ok(Value::Null));
        assert_eq!(parse(b" \r\n"), Ok(Value::Null));
        assert_eq!(parse(b"null"), Ok(Value::Null));
    }

    #[test]
    fn what_is_not_plain_json_is_refused_without_being_repeated() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [
            b"{" as &[u8],
            b"canary",
            b"{\"canary\":1,}",
            b"{\"a\":\"\xff\"}",
            b"\xff",
            b"{\"canary\":1,\"canary\":2}",
            b"{\"a\":{\"canary\":1,\"canary\":1}}",
            b"{} canary",
            b"{\"a\":NaN}",
            b"\"\\ud800\"",
            deep.as_bytes(),
        ] {
            let error = parse(body).unwrap_err();
            assert!(!error.message.contains("canary"), "{}", error.message);
            assert_eq!(error.pointer, "");
        }
    }

    #[test]
    fn whole_numbers_come_with_or_without_a_point() {
        let body = parse(
            br#"{"a":2,"b":2.0,"c":0,"d":2.5,"e":-1,"f":"2","g":1e300,"h":null,"i":-0.0,"j":2147483648}"#,
        )
        .unwrap();
        let mut fields = Fields::of_body(&body).unwrap();
        for (key, expected) in
            [("a", Some(2)), ("b", Some(2)), ("c", Some(0)), ("h", None), ("i", Some(0)), ("z", None)]
        {
            assert_eq!(fields.whole_number(key, 0..=2_147_483_647), expected, "{key}");
        }
        assert!(fields.errors.is_empty());
        for key in ["d", "e", "f", "g", "j"] {
            assert_eq!(fields.whole_number(key, 0..=2_147_483_647), None, "{key}");
        }
        let pointers: Vec<_> = fields.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/d", "/e", "/f", "/g", "/j"]);
    }

    #[test]
    fn pointers_escape_what_they_must() {
        let object = Map::new();
        assert_eq!(Fields::of_object(&object, "/a".into()).pointer_to("b/c~d"), "/a/b~1c~0d");
    }

    #[test]
    fn only_an_object_is_a_body() {
        for body in ["[]", "1", "\"a\"", "true"] {
            assert!(Fields::of_body(&serde_json::from_str(body).unwrap()).is_err());
        }
    }
}

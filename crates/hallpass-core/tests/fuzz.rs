//! The fuzz targets, fed in every run with what `fuzz/seeds` holds and with thousands of damaged copies of it.
//!
//! `cargo fuzz` (see CONTRIBUTING.md) feeds the same functions for hours, and follows the branches of the code, which this does not.

#[path = "fuzz/targets.rs"]
mod targets;

use proptest::prelude::*;
use proptest::sample::Index;

/// What damage is made of: the tokens that parsers stumble over.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"%",
    b"%25",
    b"%2e",
    b"%2f",
    b"%5C",
    b"%3b",
    b"%00",
    b"%c3%a9",
    b"%ff",
    b"/",
    b"//",
    b"/../",
    b"/./",
    b"\\",
    b";",
    b"?",
    b"#",
    b"*",
    b"**",
    b":",
    b"::",
    b":80",
    b"[",
    b"]",
    b"@",
    b".",
    b"..",
    b",",
    b"-",
    b"_",
    b"\"",
    b"{",
    b"}",
    b"\\u0061",
    b"\xFF",
    b"\xC3\xA9",
    b"\xEF\xBB\xBF",
    b"a",
    b"Z",
    b"0",
    b"1h",
    b"xn--",
    b"0x",
    b"::ffff:",
    b"cf-access-client-id:",
    b"cf-access-client-secret:",
    b"x-credential:",
    b"9999999999999999999",
    b"null",
    b"{\"everyone\":{}},",
    b"{\"email\":{}},",
    b"{},",
    b",\"exclude\":[{\"everyone\":{}}]",
    b",\"require\":null",
    b"\"include\":[],",
];

/// One damage.
#[derive(Debug, Clone)]
enum Damage {
    /// A byte becomes another one.
    Change(Index, u8),
    /// A byte goes.
    Drop(Index),
    /// A token comes.
    Insert(Index, &'static [u8]),
    /// The end goes.
    Cut(Index),
    /// The end comes once more.
    Repeat(Index),
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Change(at, byte)),
            any::<Index>().prop_map(Self::Drop),
            (any::<Index>(), proptest::sample::select(TOKENS))
                .prop_map(|(at, token)| Self::Insert(at, token)),
            any::<Index>().prop_map(Self::Cut),
            any::<Index>().prop_map(Self::Repeat),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        match self {
            Self::Change(at, byte) => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Self::Drop(at) => {
                let at = place(at);
                bytes.drain(at..(at + 1).min(bytes.len()));
            }
            Self::Insert(at, token) => {
                let at = place(at);
                bytes.splice(at..at, token.iter().copied());
            }
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Repeat(at) => {
                let end = bytes.split_at(place(at)).1.to_vec();
                bytes.extend(end);
            }
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let seeds: Vec<_> = files.filter_map(|file| std::fs::read(file.path()).ok()).collect();
    assert!(seeds.len() > 3, "there are seeds in {}", folder.display());
    seeds
}

fn feed(target: &str, function: fn(&[u8])) {
    let seeds = seeds(target);
    for seed in &seeds {
        function(seed);
    }
    let config = ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() };
    let damaged = (proptest::sample::select(seeds), proptest::collection::vec(Damage::any(), 1..8));
    let damaged = damaged.prop_map(|(mut bytes, damages)| {
        for damage in damages {
            damage.apply(&mut bytes);
        }
        bytes
    });
    let fed = proptest::test_runner::TestRunner::new(config).run(&damaged, |bytes| {
        function(&bytes);
        Ok(())
    });
    assert!(fed.is_ok(), "{target}: {}", fed.err().map(|error| error.to_string()).unwrap_or_default());
}

#[test]
fn no_host_or_path_breaks_the_rules_of_requests() {
    feed("request", targets::request);
}

#[test]
fn no_forwarded_header_breaks_the_rules_of_addresses() {
    feed("forwarded", targets::forwarded);
}

#[test]
fn no_header_breaks_the_rules_of_credentials() {
    feed("credential", targets::credential);
}

#[test]
fn no_text_breaks_the_rules_of_patterns() {
    feed("pattern", targets::pattern);
}

#[test]
fn no_json_breaks_the_rules_of_policies_and_groups() {
    feed("rules", targets::rules);
}

#[test]
fn no_text_breaks_the_rules_of_durations() {
    feed("duration", targets::duration);
}

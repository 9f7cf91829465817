//! What the documents and the map of the code say about this repository is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hallpass_core::wire::codes::{self, Code};

fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file and directory below a directory of the repository, as paths from its root.
fn below(directory: &str) -> Vec<String> {
    const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "__pycache__", ".pytest_cache"];
    let root = root();
    let mut open = vec![root.join(directory)];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if NOT_OURS.contains(&name) {
                continue;
            }
            found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    found.sort_unstable();
    found
}

/// The Rust files of a directory, with their texts.
fn sources(directory: &str) -> BTreeMap<String, String> {
    let rust = below(directory)
        .into_iter()
        .filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "rs"));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

/// Where the sources of the three crates are.
const CRATES: [&str; 3] = ["crates/hallpass/src", "crates/hallpass-client/src", "crates/hallpass-core/src"];

fn all_sources() -> BTreeMap<String, String> {
    CRATES.iter().flat_map(|directory| sources(directory)).collect()
}

/// A text without its comments.
fn code(text: &str) -> String {
    let lines = text.lines();
    let lines = lines.map(|line| {
        if line.trim_start().starts_with("//") {
            ""
        } else {
            line.split_once(" // ").map_or(line, |(code, _)| code)
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The same without the tests at its end.
fn code_without_tests(path: &str, text: &str) -> String {
    if path.ends_with("_tests.rs") {
        return String::new();
    }
    let code = code(text);
    let tests = code.find("#[cfg(test)]\nmod tests").unwrap_or(code.len());
    code[..tests].to_owned()
}

/// The texts between backticks, outside of code blocks.
fn quoted(document: &str) -> Vec<String> {
    let mut quoted = Vec::new();
    let mut in_block = false;
    for line in document.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            quoted.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    quoted
}

/// Whether a text is meant as a path in this repository: it has a slash, or an extension that files here have.
fn is_path(text: &str) -> bool {
    const EXTENSIONS: [&str; 14] =
        ["rs", "md", "toml", "sql", "json", "go", "py", "mjs", "ts", "js", "sh", "yml", "yaml", "txt"];
    /// They have a slash, and are no paths.
    const OTHERS: [&str; 2] = ["application/json", "text/plain"];
    let made_of = |symbol: char| symbol.is_ascii_alphanumeric() || "_-./".contains(symbol);
    let known = Path::new(text)
        .extension()
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known));
    // A leading slash is a route's; a network has no letters; a name that ends in digits after a dot is a version.
    text.chars().all(made_of)
        && !text.starts_with('/')
        && text.chars().any(|symbol| symbol.is_ascii_alphabetic())
        && (text.contains('/') || known)
        && !OTHERS.contains(&text)
}

#[test]
fn paths_in_the_documents_exist() {
    let all = below(".");
    let mut missing = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        for text in quoted(&read(document)) {
            let path = text.trim_start_matches("./").trim_end_matches('/');
            // `store/writer.rs` is enough where the rest is clear.
            let ending = format!("/{path}");
            let exists = all.iter().any(|known| known == path || known.ends_with(&ending));
            if is_path(&text) && !exists {
                missing.push(format!("{document} names `{text}`"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_tests_that_the_threat_model_names_exist() {
    let code: String = ["crates/hallpass-core", "crates/hallpass"]
        .iter()
        .flat_map(|directory| below(directory))
        .filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "rs"))
        .map(|path| read(&path))
        .collect();
    let is_sentence = |text: &String| {
        text.matches('_').count() >= 3
            && text.chars().all(|symbol| symbol.is_ascii_lowercase() || symbol == '_')
    };
    let named: Vec<_> = quoted(&read("docs/threat-model.md")).into_iter().filter(is_sentence).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let declared = [format!("fn {name}("), format!("    {name},\n"), format!("!({name}, ")];
        assert!(declared.iter().any(|form| code.contains(form)), "docs/threat-model.md names `{name}`");
    }
}

#[test]
fn what_looks_like_a_path_is_one() {
    for path in ["docs/errors.md", "world.rs", "crates/hallpass", "./test", ".ci/run", "store/"] {
        assert!(is_path(path), "{path}");
    }
    for other in
        ["/accounts", "127.0.0.1/8", "cargo test", "hallpass serve", "v1.2", "a::b", "<id>/x", "http://x/y"]
    {
        assert!(!is_path(other), "{other}");
    }
    let document = "a `b` c `d`\n```\n`not this`\n```\n`e`";
    assert_eq!(quoted(document), ["b", "d", "e"]);
}

#[test]
fn the_architecture_shows_every_module() {
    let map = read("ARCHITECTURE.md");
    for directory in CRATES {
        for path in below(directory) {
            let name = Path::new(&path).file_name().unwrap().to_str().unwrap();
            let wanted = Path::new(&path).extension().is_some_and(|extension| extension == "rs")
                && !["mod.rs", "lib.rs", "main.rs"].contains(&name)
                && !name.ends_with("_tests.rs");
            assert!(!wanted || map.contains(name), "ARCHITECTURE.md does not show {path}");
        }
    }
}

#[test]
fn the_core_does_no_io() {
    const ALLOWED: [&str; 10] = [
        "crc32fast",
        "hmac",
        "ipnet",
        "jiff",
        "serde",
        "serde_json",
        "sha2",
        "subtle",
        "thiserror",
        "zeroize",
    ];
    const FORBIDDEN: [&str; 13] = [
        "use hallpass",
        "std::fs",
        "std::io",
        "std::env",
        "std::process",
        "std::thread",
        "std::os",
        "tokio",
        "sqlx",
        "SystemTime",
        "Instant",
        "getrandom",
        "::now(",
    ];
    let manifest = read("crates/hallpass-core/Cargo.toml");
    let dependencies = manifest.split_once("[dependencies]").unwrap().1;
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect::<Vec<_>>();
    assert_eq!(names, ALLOWED);
    for (path, text) in sources("crates/hallpass-core/src") {
        let code = code(&text);
        for forbidden in FORBIDDEN {
            assert!(!code.contains(forbidden), "{path} has {forbidden}");
        }
        // Addresses are data, and connections are not.
        let net = code.matches("std::net").count();
        let addresses = code.matches("std::net::IpAddr").count();
        assert_eq!(net, addresses, "{path} has more of std::net than IpAddr");
    }
}

#[test]
fn the_client_knows_nothing_of_the_service() {
    /// Nor does it know how the core thinks: it speaks of what goes over the wire.
    const KNOWN: [&str; 5] = ["id", "secret", "service_token::Patch", "time", "wire"];
    let manifest = read("crates/hallpass-client/Cargo.toml");
    let ours: Vec<_> = manifest.lines().filter(|line| line.starts_with("hallpass")).collect();
    assert_eq!(ours, ["hallpass-core.workspace = true"]);
    for (path, text) in sources("crates/hallpass-client/src") {
        for rest in code(&text).split("hallpass_core::").skip(1) {
            let rest = rest.trim_start_matches('{');
            assert!(KNOWN.iter().any(|known| rest.starts_with(known)), "{path} uses {rest:.40}");
        }
    }
}

/// The modules at the top of the crate that a text names.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    let name = |text: &str| {
        let end =
            text.find(|symbol: char| !symbol.is_ascii_alphanumeric() && symbol != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            imports.insert(name(rest));
            continue;
        };
        // The first name behind the brace and behind every comma that is in no brace of its own.
        let mut depth = 0;
        let mut expects = true;
        for (at, symbol) in group.char_indices() {
            match symbol {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects = true,
                _ if expects && !symbol.is_whitespace() => {
                    imports.insert(name(&group[at..]));
                    expects = false;
                }
                _ => {}
            }
        }
    }
    imports
}

#[test]
fn imports_are_found() {
    let code =
        "use crate::api;\nuse crate::{\n  store::{self, engine},\n  world::World, cli,\n};\n$crate::serve::x";
    assert_eq!(imports(code).into_iter().collect::<Vec<_>>(), ["api", "cli", "serve", "store", "world"]);
}

#[test]
fn arrows_point_down() {
    /// Folder or file, and what it may import.
    const LAYERS: [(&str, &[&str]); 19] = [
        ("world.rs", &[]),
        ("live.rs", &[]),
        ("telemetry.rs", &[]),
        ("tls.rs", &["live"]),
        ("config/", &["telemetry"]),
        ("server_key.rs", &["world"]),
        ("reference.rs", &["server_key", "world"]),
        ("signing_keys.rs", &["server_key", "world"]),
        ("signing_keys_tests.rs", &["server_key", "signing_keys", "world"]),
        ("store/", &["store", "server_key", "signing_keys", "world"]),
        ("api/", &["api", "live", "reference", "store", "world"]),
        ("serve.rs", &["api", "tls"]),
        ("serve/", &[]),
        ("gate/", &["gate", "reference", "serve", "server_key", "signing_keys", "store", "world"]),
        ("tasks.rs", &["store", "world"]),
        ("operator.rs", &["api", "gate", "store", "telemetry"]),
        ("seed.rs", &["api", "emulator", "store", "world"]),
        (
            "emulator.rs",
            &[
                "api",
                "gate",
                "operator",
                "reference",
                "seed",
                "server_key",
                "serve",
                "store",
                "tasks",
                "world",
            ],
        ),
        (
            "cli/",
            &[
                "api",
                "cli",
                "config",
                "emulator",
                "gate",
                "live",
                "operator",
                "reference",
                "seed",
                "serve",
                "server_key",
                "store",
                "tasks",
                "telemetry",
                "tls",
                "world",
            ],
        ),
    ];
    for (path, text) in sources("crates/hallpass/src") {
        let file = path.strip_prefix("crates/hallpass/src/").unwrap();
        if file == "main.rs" || file == "lib.rs" {
            continue;
        }
        let layer = LAYERS.iter().find(|(layer, _)| file.starts_with(layer));
        let (_, allowed) = layer.unwrap_or_else(|| panic!("{path} is in no layer of this test"));
        let code = code_without_tests(&path, &text);
        for import in imports(&code) {
            assert!(allowed.contains(&import.as_str()), "{path} imports crate::{import}");
        }
        // The tests of a module are one deeper; nothing else climbs out of its folder without saying so.
        let depth = file.matches('/').count() + 1;
        let climbs = "super::".repeat(depth + 2);
        assert!(!code.contains(&climbs), "{path} climbs with {climbs}");
    }
}

#[test]
fn only_the_command_line_calls_the_client() {
    for (path, text) in sources("crates/hallpass/src") {
        let inside = path.starts_with("crates/hallpass/src/cli/");
        assert!(inside || !code(&text).contains("hallpass_client"), "{path} uses the client");
    }
}

#[test]
fn only_the_world_asks_for_time_and_entropy() {
    /// The client draws the length of a pause, and nothing else. AWS-LC makes RSA keys of randomness of its own.
    const DOORS: [&str; 3] = [
        "crates/hallpass/src/world.rs",
        "crates/hallpass/src/signing_keys.rs",
        "crates/hallpass-client/src/jitter.rs",
    ];
    const ASKS: [&str; 9] = [
        "Timestamp::now",
        "Zoned::now",
        "SystemTime::now",
        "Instant::now",
        "getrandom",
        "OsRng",
        "thread_rng",
        "rand::",
        "RandomState",
    ];
    for (path, text) in all_sources() {
        for asks in ASKS {
            let outside = !DOORS.contains(&path.as_str());
            assert!(!(outside && code(&text).contains(asks)), "{path} has {asks}");
        }
    }
}

#[test]
fn one_file_writes_digests() {
    let mut files = BTreeSet::new();
    for (path, text) in all_sources() {
        // A text may be broken over lines.
        let flat = text.replace("\\\n", " ");
        let flat = flat.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let writes = |sql: &str| flat.contains(sql);
        if ["into digests", "update digests", "delete from digests", "table digests"].into_iter().any(writes)
        {
            files.insert(path);
        }
    }
    assert_eq!(files.into_iter().collect::<Vec<_>>(), ["crates/hallpass/src/store/digests.rs"]);
}

#[test]
fn secrets_are_revealed_in_few_places() {
    let mut places = BTreeMap::new();
    for (path, text) in all_sources() {
        let count = code_without_tests(&path, &text).matches(".reveal()").count();
        if count > 0 {
            places.insert(path, count);
        }
    }
    let listed = [
        // The headers that carry a caller's own credentials.
        ("crates/hallpass-client/src/credentials.rs", 2),
        // The digest is made of it.
        ("crates/hallpass-core/src/secret.rs", 1),
        // The one reply that shows it.
        ("crates/hallpass-core/src/wire/mod.rs", 1),
        // Is it one that everybody knows?
        ("crates/hallpass/src/api/published.rs", 1),
        // What bootstrap prints, and a copy of the key that the store digests.
        ("crates/hallpass/src/cli/bootstrap.rs", 3),
        // What `user add` prints.
        ("crates/hallpass/src/cli/local.rs", 1),
    ];
    let listed = listed.map(|(path, count)| (path.to_owned(), count));
    assert_eq!(places, BTreeMap::from(listed));
}

#[test]
fn files_are_not_too_long() {
    const MOST: usize = 450;
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= MOST, "{path} has {lines} lines, more than {MOST}");
    }
}

#[test]
fn nothing_is_left_undone() {
    const MARKS: [&str; 5] = ["todo!", "unimplemented!", "FIXME", "XXX", "TODO"];
    for (path, text) in all_sources() {
        for mark in MARKS {
            assert!(!text.contains(mark), "{path} has {mark}");
        }
    }
}

/// The anchors that GitHub gives to a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut in_block = false;
    let mut anchors = BTreeSet::new();
    for line in document.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |symbol: &char| symbol.is_alphanumeric() || " -_".contains(*symbol);
            anchors.insert(heading.chars().filter(kept).collect::<String>().replace(' ', "-"));
        }
    }
    anchors
}

#[test]
fn every_code_is_explained() {
    let document = read("docs/errors.md");
    let anchors = anchors(&document);
    for code in Code::ALL {
        let url = code.documentation_url();
        let anchor = url.strip_prefix("docs/errors.md#").unwrap();
        assert!(anchors.contains(anchor), "{code:?}: there is no {url}");
    }
    let chained = [
        codes::NO_ROUTE_FOR_URI,
        codes::MALFORMED_EMAIL,
        codes::MALFORMED_KEY,
        codes::MALFORMED_AUTHORIZATION,
    ];
    for number in chained {
        assert!(anchors.contains(&number.to_string()), "there is no docs/errors.md#{number}");
    }
    // And nothing is explained that cannot happen.
    let known: BTreeSet<_> = Code::ALL.into_iter().map(Code::number).chain(chained).collect();
    for anchor in anchors {
        if let Ok(number) = anchor.parse::<u32>() {
            assert!(known.contains(&number), "docs/errors.md explains {number}");
        }
    }
    assert_eq!(
        self::anchors("# Errors, all of them\n## 12130\n```\n# no\n```\n"),
        BTreeSet::from(["errors-all-of-them".to_owned(), "12130".to_owned()])
    );
}

/// The tables of a migration with their columns, and its indexes.
fn schema(sql: &str) -> BTreeMap<String, Vec<String>> {
    let mut schema = BTreeMap::<String, Vec<String>>::new();
    let mut table = None;
    for line in sql.lines().map(str::trim) {
        let words: Vec<_> = line.split([' ', '(']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["CREATE", "TABLE", name, ..] => {
                schema.insert((*name).to_owned(), Vec::new());
                table = Some((*name).to_owned());
            }
            ["ALTER", "TABLE", name, "ADD", "COLUMN", column, ..] => {
                schema.entry((*name).to_owned()).or_default().push((*column).to_owned());
            }
            ["CREATE", "INDEX" | "UNIQUE", ..] => {
                schema.insert(line.to_owned(), Vec::new());
            }
            [word, ..] if word.starts_with(')') => table = None,
            [column, ..] if column.chars().all(|symbol| symbol.is_ascii_lowercase() || symbol == '_') => {
                if let Some(table) = &table {
                    schema.get_mut(table).unwrap().push((*column).to_owned());
                }
            }
            _ => {}
        }
    }
    schema
}

#[test]
fn every_migration_has_a_twin() {
    let names = |engine: &str| {
        let directory = format!("crates/hallpass/migrations/{engine}/");
        let files = below(&directory);
        files.iter().map(|path| path.rsplit_once('/').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let (sqlite, postgres) = (names("sqlite"), names("postgres"));
    assert!(!sqlite.is_empty());
    assert_eq!(sqlite, postgres);
    for name in sqlite {
        let sql = |engine: &str| read(&format!("crates/hallpass/migrations/{engine}/{name}"));
        let (sqlite, postgres) = (schema(&sql("sqlite")), schema(&sql("postgres")));
        assert!(!sqlite.is_empty(), "{name} makes nothing");
        assert_eq!(sqlite, postgres, "{name}");
    }
}

//! Files of tokens to import: CSV with a header, or one JSON object on each line. Whatever is wrong with a line is said by the
//! rule that it breaks; nothing is ever repeated from a file that holds secrets.

use std::path::Path;

use hallpass_core::client_id::ClientId;
use hallpass_core::secret::ClientSecret;
use hallpass_core::service_token::{Name, ServiceTokenSpec};
use hallpass_core::time::Timestamp;
use hallpass_core::validity::Validity;
use hallpass_core::wire::body::{self, Fields, InvalidField};
use serde_json::{Map, Value};

/// What can be said of a token. The first two must be.
const COLUMNS: [&str; 6] = ["client_id", "client_secret", "name", "duration", "enabled", "expires_at"];
const COLUMNS_RULE: &str =
    "the columns are client_id, client_secret, and, if wanted, name, duration, enabled, expires_at";

/// A token as it is described.
pub(super) struct Described {
    pub(super) client_id: ClientId,
    pub(super) secret: ClientSecret,
    pub(super) spec: ServiceTokenSpec,
    pub(super) expires_at: Option<Timestamp>,
}

/// A line of a file: its number, from 1, and the token, or all that is wrong with it.
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) token: Result<Described, Vec<String>>,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
}

impl Format {
    /// By the file's ending.
    pub(super) fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Reads all lines that are not blank.
    pub(super) fn read(self, text: &str) -> Vec<Line> {
        let text = text.trim_start_matches('\u{feff}');
        match self {
            Self::Csv => read_csv(text),
            Self::JsonLines => read_json_lines(text),
        }
    }
}

fn read_json_lines(text: &str) -> Vec<Line> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let read = |(number, line): (u64, &str)| {
        let token = match body::parse(line.as_bytes()) {
            Ok(Value::Object(row)) => describe(&row),
            Ok(_) => Err(vec!["must be a JSON object".to_owned()]),
            // Its own number of the line is that within the one line.
            Err(_) => Err(vec!["is not valid JSON, or has a key twice".to_owned()]),
        };
        Line { number, token }
    };
    lines.map(read).collect()
}

fn read_csv(text: &str) -> Vec<Line> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = match reader.headers().map(columns) {
        Ok(Ok(header)) => header,
        Ok(Err(rule)) => return vec![Line { number: 1, token: Err(vec![rule]) }],
        Err(_) => return vec![Line { number: 1, token: Err(vec!["cannot be read as CSV".to_owned()]) }],
    };
    let mut lines = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        // Where a line cannot be read, it is the one behind those that were.
        let next = reader.position().line();
        match reader.read_record(&mut record) {
            Ok(false) => return lines,
            Ok(true) => {
                let number = start_of(text, record.position()).unwrap_or(next);
                lines.push(Line { number, token: describe_cells(&header, &record) });
            }
            Err(_) => {
                lines.push(Line { number: next, token: Err(vec!["cannot be read as CSV".to_owned()]) });
                return lines;
            }
        }
    }
}

/// The number of the line on which a record begins. The reader counts blank lines in front of it as its own.
fn start_of(text: &str, position: Option<&csv::Position>) -> Option<u64> {
    let position = position?;
    let rest = text.get(usize::try_from(position.byte()).ok()?..)?;
    let blank = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    let skipped = rest.get(..blank)?.matches('\n').count();
    Some(position.line() + u64::try_from(skipped).ok()?)
}

/// The header's columns. Where it is missing, the first line is a credential: so it is not repeated.
fn columns(header: &csv::StringRecord) -> Result<Vec<&'static str>, String> {
    let mut columns = Vec::new();
    for cell in header {
        let column = COLUMNS.into_iter().find(|column| *column == cell);
        let column = column.ok_or_else(|| format!("must be a header: {COLUMNS_RULE}"))?;
        if columns.contains(&column) {
            return Err(format!("must be a header in which no column stands twice: {COLUMNS_RULE}"));
        }
        columns.push(column);
    }
    if columns.contains(&"client_id") && columns.contains(&"client_secret") {
        Ok(columns)
    } else {
        Err(format!("must be a header: {COLUMNS_RULE}"))
    }
}

fn describe_cells(header: &[&str], record: &csv::StringRecord) -> Result<Described, Vec<String>> {
    if record.len() != header.len() {
        let rule = format!("must have {} cells, as the header has, and has {}", header.len(), record.len());
        return Err(vec![rule]);
    }
    let mut row = Map::new();
    for (column, cell) in header.iter().zip(record) {
        let value = match (*column, cell) {
            (_, "") => continue,
            ("enabled", "true") => Value::Bool(true),
            ("enabled", "false") => Value::Bool(false),
            (_, text) => Value::String(text.to_owned()),
        };
        row.insert((*column).to_owned(), value);
    }
    describe(&row)
}

/// Reads the description of one token, and says all that is wrong with it at once.
pub(super) fn describe(row: &Map<String, Value>) -> Result<Described, Vec<String>> {
    let mut fields = Fields::of_object(row, String::new());
    let mut unknown = fields.keys().filter(|key| !COLUMNS.contains(&key.as_str()));
    if unknown.next().is_some() {
        // Ignored, a misspelt `enabled` would switch a token on.
        fields.refuse_all(vec![InvalidField {
            pointer: String::new(),
            message: format!("has a field that is not known: {COLUMNS_RULE}"),
        }]);
    }
    for required in ["client_id", "client_secret"] {
        if fields.value(required).is_none() {
            fields.refuse(required, "is missing");
        }
    }
    let client_id: Option<ClientId> = fields.parsed("client_id", str::parse);
    let secret = fields.parsed("client_secret", ClientSecret::issued);
    let name = fields.parsed("name", Name::parse);
    let validity = fields.parsed("duration", Validity::parse);
    let enabled = fields.boolean("enabled");
    let expires_at = fields.parsed("expires_at", str::parse);
    let name = name.or_else(|| Name::parse(client_id.as_ref()?.as_str()).ok());
    let described = client_id.zip(secret).zip(name).map(|((client_id, secret), name)| Described {
        client_id,
        secret,
        spec: ServiceTokenSpec {
            name,
            validity: validity.unwrap_or_else(Validity::one_year),
            enabled: enabled.unwrap_or(true),
            secret_version: 1,
            previous_secret_expires_at: None,
        },
        expires_at,
    });
    fields.finish(described).map_err(|errors| errors.into_iter().map(say).collect())
}

fn say(error: InvalidField) -> String {
    let InvalidField { pointer, message } = error;
    match pointer.strip_prefix('/') {
        Some(field) if !message.starts_with(field) => format!("{field}: {message}"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "88bf3b6d86161464f6509f7219099e57.access";
    const SECRET: &str = "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7";

    fn wrong(format: Format, text: &str) -> Vec<(u64, String)> {
        let lines = format.read(text).into_iter();
        lines.filter_map(|line| Some((line.number, line.token.err()?.join("; ")))).collect()
    }

    #[test]
    fn both_formats_say_the_same() {
        let csv = format!(
            "\u{feff}name,client_id,client_secret,enabled,expires_at,duration\r\n\r\n\"a, b\",{ID},{SECRET},false,2027-01-01T00:00:00Z,1h\r\n , {ID} ,{SECRET},,,\r\n"
        );
        let json = format!(
            "{{\"client_id\":\"{ID}\",\"client_secret\":\"{SECRET}\",\"name\":\"a, b\",\"enabled\":false,\"expires_at\":\"2027-01-01T00:00:00Z\",\"duration\":\"1h\"}}\n\n{{\"client_id\":\"{ID}\",\"client_secret\":\"{SECRET}\",\"name\":null}}"
        );
        for (format, text, numbers) in [(Format::Csv, csv, [3, 4]), (Format::JsonLines, json, [1, 3])] {
            let lines = format.read(&text);
            assert_eq!(lines.iter().map(|line| line.number).collect::<Vec<_>>(), numbers);
            let tokens: Vec<_> = lines.into_iter().map(|line| line.token.map_err(|_| ()).unwrap()).collect();
            let [first, second] = tokens.as_slice() else { panic!("{format:?}") };
            assert_eq!((first.client_id.as_str(), first.secret.reveal()), (ID, SECRET));
            assert_eq!((first.spec.name.as_str(), first.spec.validity.as_str()), ("a, b", "1h"));
            assert_eq!(first.expires_at, Some("2027-01-01T00:00:00Z".parse().unwrap()));
            assert!(!first.spec.enabled && second.spec.enabled);
            assert_eq!((second.spec.name.as_str(), second.spec.validity.as_str()), (ID, "8760h"));
            assert_eq!(second.expires_at, None);
        }
    }

    #[test]
    fn every_bad_line_is_named_by_its_rules_and_nothing_is_repeated() {
        let csv = format!(
            "client_id,client_secret,duration,enabled\n{ID},{SECRET},1d,yes\n\n\n{ID},hunter2,,\n{ID},{SECRET},,,,\nx,{SECRET}x,,\n"
        );
        let wrong_lines = wrong(Format::Csv, &csv);
        assert_eq!(wrong_lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 5, 6, 7]);
        let said = format!("{wrong_lines:?}");
        for part in [
            "duration must be",
            "enabled must be true or false",
            "4 cells",
            "64 lower-case hex",
            "client_id: ",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let json = format!(
            "{{\"client_id\":\"{ID}\",\"client_secret\":\"{SECRET}\",\"enable\":false}}\n[]\n{{hunter2\n{{}}"
        );
        let wrong_lines = wrong(Format::JsonLines, &json);
        assert_eq!(wrong_lines.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(
            wrong_lines[0].1.contains("a field that is not known")
                && wrong_lines[3].1.contains("client_secret: is missing")
        );
        assert!(!format!("{said}{wrong_lines:?}").contains("hunter2") && !said.contains(SECRET));
    }

    #[test]
    fn without_a_header_the_credential_on_the_first_line_is_not_repeated() {
        for text in [
            format!("{ID},{SECRET}\n"),
            format!("client_id\n{ID}\n"),
            format!("client_id,client_secret,client_id\n{ID},{SECRET},{ID}\n"),
            format!("client_id,client_secret,{SECRET}\n"),
        ] {
            let wrong = wrong(Format::Csv, &text);
            assert_eq!(wrong.len(), 1);
            assert!(
                wrong[0].0 == 1 && wrong[0].1.contains("header") && !wrong[0].1.contains("cfast_"),
                "{wrong:?}"
            );
        }
        assert!(Format::JsonLines.read("\n \n").is_empty());
    }
}

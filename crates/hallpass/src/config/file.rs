//! The file as it is written: TOML with sections. What cannot be understood, and keys that nobody knows, are problems, each with its
//! line and column. No message repeats a line of the file, which may hold a password.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{Form, SETTINGS, Setting};
use super::{Place, Problem, Problems, Value};

/// A configuration file, read but not yet checked: the values by setting.
pub(super) struct ConfigFile {
    pub(super) values: Vec<Value>,
}

impl ConfigFile {
    /// Reads a file. What is wrong with it goes to the problems; what could be understood is given all the same, so that everything
    /// can be reported at once.
    pub(super) fn read(path: &Path, problems: &mut Problems) -> Self {
        // Anything else can be read once, or not at all: a pipe would be empty when it is read again.
        if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            problems.add(Problem::new(format!("cannot read {}: it is no regular file", path.display())));
            return Self { values: Vec::new() };
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.add(Problem::new(format!("cannot read {}: {error}", path.display())));
                return Self { values: Vec::new() };
            }
        };
        let file = Self::parse(path, &text, problems);
        let open = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0);
        if open && file.values.iter().any(|value| value.setting.form == Form::Secret) {
            let file = path.display();
            tracing::warn!(%file, "the configuration names a database and can be read by everybody: chmod 640 it");
        }
        file
    }

    fn parse(path: &Path, text: &str, problems: &mut Problems) -> Self {
        let mut reader = Reader { path, text, values: Vec::new(), problems };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            reader.refuse(&error.span().unwrap_or_default(), error.message());
        }
        for (section, content) in root.get_ref() {
            reader.section(section, content);
        }
        Self { values: reader.values }
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    values: Vec<Value>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn section(&mut self, section: &Spanned<std::borrow::Cow<'_, str>>, content: &Spanned<DeValue<'_>>) {
        let name = section.get_ref();
        let known = SETTINGS.iter().any(|setting| setting.section == name);
        match content.get_ref() {
            DeValue::Table(keys) if known => {
                for (key, value) in keys {
                    self.key(name, key, value);
                }
            }
            DeValue::Table(_) => {
                let hint = match nearest_section(name) {
                    Some(section) => format!("did you mean [{section}]?"),
                    None => format!("there are [{}]", sections().join("], [")),
                };
                self.refuse(&section.span(), &format!("unknown section [{name}]; {hint}"));
            }
            _ if known => {
                self.refuse(&section.span(), &format!("`{name}` must be a section: write [{name}]"));
            }
            _ => {
                let hint = match nearest_key(name) {
                    Some(known) => format!("did you mean `{}` in [{}]?", known.name, known.section),
                    None => "every key belongs to a section".to_owned(),
                };
                self.refuse(&section.span(), &format!("unknown key `{name}`; {hint}"));
            }
        }
    }

    fn key(&mut self, section: &str, key: &Spanned<std::borrow::Cow<'_, str>>, value: &Spanned<DeValue<'_>>) {
        let dotted = format!("{section}.{}", key.get_ref());
        let Some(setting) = Setting::find(&dotted) else {
            let of_section = SETTINGS.iter().filter(|setting| setting.section == section);
            let names: Vec<_> = of_section.map(|setting| setting.name).collect();
            let known = || format!("[{section}] knows {}", names.join(", "));
            let hint = nearest_key(&dotted).map(|near| format!("did you mean `{}`?", near.key));
            let hint = hint.unwrap_or_else(known);
            return self.refuse(&key.span(), &format!("unknown key `{dotted}`; {hint}"));
        };
        let (line, column) = self.position(&value.span());
        match texts(setting.form, value.get_ref()) {
            Some(texts) => {
                self.values.push(Value { setting, texts, place: Place::File { line, column } });
            }
            None => self.refuse(&value.span(), &format!("{dotted} {}", rule(setting.form))),
        }
    }

    fn refuse(&mut self, span: &Range<usize>, message: &str) {
        let (line, column) = self.position(span);
        self.problems.add(Problem::in_file(self.path, line, column, message));
    }

    /// Line and column of where a span begins, both from 1.
    fn position(&self, span: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

/// The value as it would be written for the flag; `None` where the type is wrong.
fn texts(form: Form, value: &DeValue<'_>) -> Option<Vec<String>> {
    let text = match (form, value) {
        (Form::List, DeValue::Array(items)) => {
            return items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
        }
        (Form::Text | Form::Secret | Form::NumberOrText, DeValue::String(text)) => text.to_string(),
        (Form::Number | Form::NumberOrText, DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok()?.to_string()
        }
        (Form::Switch, DeValue::Boolean(on)) => on.to_string(),
        _ => return None,
    };
    Some(vec![text])
}

fn rule(form: Form) -> &'static str {
    match form {
        Form::Text | Form::Secret => "must be a text in quotes",
        Form::Number => "must be a whole number",
        Form::NumberOrText => "must be a whole number, or a text in quotes",
        Form::Switch => "must be true or false, without quotes",
        Form::List => "must be a list of texts, like [\"10.0.0.1\"]",
    }
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = SETTINGS.iter().map(|setting| setting.section).collect();
    sections.dedup();
    sections
}

fn nearest_section(name: &str) -> Option<&'static str> {
    let near = sections().into_iter().map(|known| (strsim::osa_distance(name, known), known));
    near.filter(|(distance, _)| is_near(*distance, name)).min().map(|(_, known)| known)
}

/// The setting that was probably meant: one of nearly this key, else one of nearly this name in another section.
fn nearest_key(key: &str) -> Option<&'static Setting> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let distance = |known: &Setting| {
        let whole = strsim::osa_distance(key, known.key);
        let begun = name.len() > 2 && known.name.starts_with(name);
        let elsewhere = if begun { 1 } else { strsim::osa_distance(name, known.name) };
        let whole = is_near(whole, key).then_some((whole, Where::Here));
        let elsewhere = is_near(elsewhere, name).then_some((elsewhere, Where::Elsewhere));
        [whole, elsewhere].into_iter().flatten().min()
    };
    let near = SETTINGS.iter().filter_map(|known| Some((distance(known)?, known)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Here,
    Elsewhere,
}

/// Whether so many changes are few for a text of this length.
fn is_near(distance: usize, text: &str) -> bool {
    distance <= (text.chars().count() / 3).clamp(1, 3)
}

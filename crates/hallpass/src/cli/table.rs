//! Tables and lists of fields for people: aligned, and coloured where the output shows colours.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

/// How a text is shown. Colour only underlines what the text says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it is.
    Plain,
    /// It needs no attention.
    Dim,
    /// It will need attention soon.
    Warning,
    /// It does not work.
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Dim => Style::new().dimmed(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
        }
    }
}

/// A text in a table. What a server sent cannot move the cursor or change the direction of writing.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: harmless(text.as_ref()), tone }
    }

    /// Writes the text, filled up to a width.
    fn write(&self, line: &mut String, width: usize) {
        let style = self.tone.style();
        let filling = width.saturating_sub(self.text.width());
        // Writing to a string cannot fail.
        let _ = write!(line, "{style}{}{style:#}{:filling$}", self.text, "");
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text.to_string(), Tone::Plain)
    }
}

/// A text without characters that a terminal obeys.
pub(super) fn harmless(text: &str) -> String {
    let obeyed = |symbol: char| {
        symbol.is_control()
            || matches!(symbol, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|symbol| if obeyed(symbol) { '\u{fffd}' } else { symbol }).collect()
}

/// Rows under a head, with escape sequences for colours: [`super::output`] leaves them out where they do not belong.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[Cell; N]]) -> String {
    let head = head.map(|text| Cell::new(text, Tone::Dim));
    let lines = || std::iter::once(&head).chain(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = lines().filter_map(|line| line.get(column));
        cells.map(|cell| cell.text.width()).max().unwrap_or(0)
    });
    let text = lines().map(|line| {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let last = column + 1 == N;
            cell.write(&mut text, if last { 0 } else { width + 2 });
        }
        text
    });
    text.collect::<Vec<_>>().join("\n")
}

/// One object, a field on each line.
pub(super) fn fields(fields: &[(&str, Cell)]) -> String {
    let width = fields.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let lines = fields.iter().map(|(name, value)| {
        let mut line = String::new();
        Cell::new(name, Tone::Dim).write(&mut line, width + 2);
        value.write(&mut line, 0);
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_on_screen() {
        let rows = [
            ["deploy".into(), Cell::new("expired", Tone::Bad)],
            ["日本".into(), "active".into()],
            ["é".into(), "active".into()],
        ];
        let shown = table(["NAME", "STATUS"], &rows);
        assert!(shown.contains("\u{1b}[31mexpired"), "{shown:?}");
        let expected = "NAME    STATUS\ndeploy  expired\n日本    active\né       active";
        assert_eq!(plain(&shown), expected);
        assert_eq!(plain(&table(["NAME", "STATUS"], &[])), "NAME  STATUS");
        assert_eq!(plain(&fields(&[("id", 7.into()), ("name", "n".into())])), "id    7\nname  n");
    }

    #[test]
    fn what_a_server_sends_does_not_steer_the_terminal() {
        let cell = Cell::new("a\u{1b}[2J\r\nb\u{202e}c", Tone::Plain);
        assert_eq!(cell.text, "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c");
    }
}

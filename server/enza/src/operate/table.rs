//! Tables for the terminal. The last column holds people's own words, which may be wide; so nothing stands behind it.

use serde_json::Value;
use time::OffsetDateTime;

/// Rows under their headings, columns two blanks apart.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell));
        cells.chain(headings.get(column).map(|heading| columns(heading))).max().unwrap_or_default()
    };
    let line = |cells: &[String; N]| {
        let padded = cells.iter().enumerate().map(|(column, cell)| {
            let missing = if column + 1 == N { 0 } else { width(column).saturating_sub(columns(cell)) };
            plain(cell) + &" ".repeat(missing)
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let headings = headings.map(str::to_owned);
    std::iter::once(&headings).chain(rows).map(line).collect()
}

/// How wide a text is: Chinese and Japanese letters take two places.
fn columns(text: &str) -> usize {
    text.chars().map(|letter| if letter >= '\u{1100}' { 2 } else { 1 }).sum()
}

/// Someone's name must not drive the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// A field for people: text as it is, everything else as JSON.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

/// Milliseconds since 1970 as a minute of UTC.
pub(super) fn minute(millis: &Value) -> String {
    let at = OffsetDateTime::from_unix_timestamp(millis.as_i64().unwrap_or_default() / 1000);
    at.map_or_else(
        |_| String::new(),
        |at| {
            let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
            format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", at.hour(), at.minute())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_and_names_cannot_drive_the_terminal() {
        let rows = [["1".to_owned(), "a\u{1b}[2J".to_owned()], ["100".to_owned(), "花".to_owned()]];
        assert_eq!(table(["NO", "NAME"], &rows), "NO   NAME\n1    a\u{fffd}[2J\n100  花\n");
        let rows = [["1".to_owned(), "a".to_owned()]];
        assert_eq!(table(["番号", "x"], &rows), "番号  x\n1     a\n");
        assert_eq!(minute(&serde_json::json!(1_700_000_000_000_i64)), "2023-11-14 22:13 UTC");
    }
}

//! Rows of words as a table whose columns line up, however wide their letters are: a Korean letter takes two places.

use crate::output::one_line;
use unicode_width::UnicodeWidthStr as _;

/// How far columns are apart.
const GAP: usize = 2;

/// Lays rows out; the last column of a row takes what room it needs. Rows may differ in length.
pub(crate) fn lay_out(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::lay_out;
    use unicode_width::UnicodeWidthStr as _;

    #[test]
    fn korean_letters_take_two_places_and_columns_line_up() {
        let rows = [["애견호텔", "1", "a"], ["x", "22", "b\n"], ["", "3", "가나"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        let text = lay_out(&rows);
        assert_eq!(text, "애견호텔  1   a\nx         22  b\n          3   가나\n");
        let starts: Vec<usize> =
            text.lines().zip(["1", "22", "3"]).map(|(line, cell)| line.split(cell).next().unwrap().width()).collect();
        assert_eq!(starts, [10, 10, 10]);
        assert_eq!(lay_out(&[]), "");
    }
}

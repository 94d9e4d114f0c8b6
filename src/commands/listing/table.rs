//! Rows as an aligned table, fitted to a width.

use anstream::adapter::strip_str;
use clap::builder::styling::Style;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, TableStyle, Width};

/// What is between two columns.
const GAP: u16 = 2;

/// A name stays whole up to this part of the width.
const NAME_PART: u16 = 4;

/// What a column has, and what becomes of it where the table is too wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    /// It stays whole.
    Whole,
    /// A number, which stays whole.
    Count,
    /// It is cut only when it is longer than names usually are.
    Name,
    /// It is cut.
    Text,
}

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListColumn {
    head: &'static str,
    kind: ColumnKind,
    /// A narrower table leaves it out.
    min_table_width: u16,
}

impl ListColumn {
    pub(crate) const fn whole(head: &'static str) -> Self {
        Self { head, kind: ColumnKind::Whole, min_table_width: 0 }
    }

    pub(crate) const fn count(head: &'static str) -> Self {
        Self { head, kind: ColumnKind::Count, min_table_width: 0 }
    }

    pub(crate) const fn name(head: &'static str) -> Self {
        Self { head, kind: ColumnKind::Name, min_table_width: 0 }
    }

    pub(crate) const fn text(head: &'static str) -> Self {
        Self { head, kind: ColumnKind::Text, min_table_width: 0 }
    }

    pub(crate) const fn only_from_width(self, min_table_width: u16) -> Self {
        Self { min_table_width, ..self }
    }
}

pub(super) struct TableRow {
    pub(super) cells: Vec<String>,
    /// That of its first cell.
    pub(super) style: Style,
}

/// A table of one line a row; without a width no line is cut.
pub(super) fn format_table(columns: &[ListColumn], rows: Vec<TableRow>, width: Option<u16>) -> String {
    let is_shown = |column: &ListColumn| width.is_none_or(|width| width >= column.min_table_width);
    let shown: Vec<(usize, ListColumn)> =
        columns.iter().copied().enumerate().filter(|(_, column)| is_shown(column)).collect();
    let head =
        TableRow { cells: columns.iter().map(|column| column.head.to_owned()).collect(), style: Style::new().bold() };
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_truncation_indicator("…");
    if let Some(width) = width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    let mut firsts = Vec::with_capacity(rows.len() + 1);
    for TableRow { cells, style } in std::iter::once(head).chain(rows) {
        let cells: Vec<String> = shown.iter().map(|(index, _)| clean_line(&cells[*index])).collect();
        firsts.push((cells[0].clone(), style));
        let mut row = Row::from(cells);
        row.max_height(1);
        table.add_row(row);
    }
    fit_columns(&mut table, &shown, width);
    // Styles come last: their escape sequences would count as characters of a column.
    table.trim_fmt().lines().zip(firsts).map(|(line, (first, style))| style_start(line, &first, style)).collect()
}

fn fit_columns(table: &mut Table, shown: &[(usize, ListColumn)], table_width: Option<u16>) {
    let widths = table.column_max_content_widths();
    for (place, column) in table.column_iter_mut().enumerate() {
        let kind = shown[place].1.kind;
        let padding = if place + 1 == shown.len() { 0 } else { GAP };
        column.set_padding((0, padding));
        if kind == ColumnKind::Count {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let width = match (kind, table_width) {
            (ColumnKind::Text, _) => continue,
            (ColumnKind::Name, Some(table_width)) => widths[place].min(table_width / NAME_PART),
            _ => widths[place],
        };
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + padding)));
    }
}

/// The line with its first cell in a style; one whose first cell was cut stays as it is.
fn style_start(line: &str, first: &str, style: Style) -> String {
    match line.strip_prefix(first) {
        Some(rest) if !first.is_empty() => format!("{style}{first}{style:#}{rest}\n"),
        _ => format!("{line}\n"),
    }
}

/// A text on one line, without what a terminal would take for a command.
pub(crate) fn clean_line(text: &str) -> String {
    // Whole sequences first: without its escape character the rest of one would be read as text.
    let text = strip_str(text).to_string();
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::builder::styling::AnsiColor;
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: &[ListColumn] = &[
        ListColumn::whole("STATE"),
        ListColumn::name("TASK"),
        ListColumn::count("N"),
        ListColumn::whole("MORE").only_from_width(60),
        ListColumn::text("TEXT"),
    ];

    fn row(cells: [&str; 5]) -> TableRow {
        TableRow { cells: cells.map(str::to_owned).to_vec(), style: AnsiColor::Red.on_default() }
    }

    fn plain(rows: Vec<TableRow>, width: Option<u16>) -> String {
        strip_str(&format_table(COLUMNS, rows, width)).to_string()
    }

    #[test]
    fn names_and_texts_are_cut_and_narrow_tables_leave_columns_out() {
        let rows =
            || vec![row(["error", "load:orders", "12", "m", "no space left on device"]), row(["ok", "", "3", "", ""])];
        let whole = "\
STATE  TASK          N  MORE  TEXT
error  load:orders  12  m     no space left on device
ok                   3
";
        assert_eq!(plain(rows(), None), whole);
        assert_eq!(plain(rows(), Some(60)), whole);
        let narrow = "\
STATE  TASK         N  TEXT
error  load:orde…  12  no space left on…
ok                  3
";
        assert_eq!(plain(rows(), Some(40)), narrow);
    }

    #[test]
    fn only_the_first_cell_has_a_style() {
        let table = format_table(COLUMNS, vec![row(["error", "error", "1", "", ""])], None);
        assert!(table.starts_with("\x1b[1mSTATE\x1b[0m  TASK"), "{table:?}");
        assert!(table.contains("\n\x1b[31merror\x1b[0m  error  1\n"), "{table:?}");
    }

    #[test]
    fn a_cell_is_one_line_without_commands() {
        assert_eq!(clean_line(" a\tb\r\nc \x1b[2J\x1b[31md\x1b[0m\x07\u{9b}x \n"), "a b  c d x");
    }

    proptest! {
        #[test]
        fn a_row_is_a_line_that_fits(cells in prop::array::uniform4("[ -~é\\t\\n]{0,60}"), width in 60..200_u16) {
            let [name, more, text, other] = cells.each_ref().map(String::as_str);
            let table = plain(vec![row(["error", name, "7", "m", text]), row(["ok", more, "8", "", other])], Some(width));
            prop_assert_eq!(table.lines().count(), 3);
            prop_assert!(table.lines().all(|line| line.chars().count() <= usize::from(width)), "{}", table);
        }
    }
}

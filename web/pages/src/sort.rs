//! The heads of tables: links that sort on the server and say how it is sorted.

use super::link::PageLink;

pub(crate) struct SortColumn {
    pub(crate) label: &'static str,
    /// Its name in `sort`; empty for one that can't be sorted by.
    pub(crate) key: &'static str,
    /// Whether it holds figures, which stand on the right and are read from the highest.
    pub(crate) figures: bool,
}

pub(crate) struct ColumnHead {
    /// The name of the column, by which the stylesheet knows it.
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    pub(crate) href: Option<String>,
    /// `ascending`, `descending`, or empty.
    pub(crate) sorted: &'static str,
    pub(crate) figures: bool,
}

/// The heads of a table. `sort` and `order` are as in the address; `link` leads to the same page.
pub(crate) fn heads(columns: &[SortColumn], link: &PageLink, sort: &str, descending: bool) -> Vec<ColumnHead> {
    // A cursor is a place in one order, and means nothing in another.
    let link = link.without(&["cursor"]);
    columns
        .iter()
        .map(|column| {
            let sorted = match (column.key == sort && !sort.is_empty(), descending) {
                (false, _) => "",
                (true, true) => "descending",
                (true, false) => "ascending",
            };
            ColumnHead::new(column, sorted, &link)
        })
        .collect()
}

impl ColumnHead {
    fn new(column: &SortColumn, sorted: &'static str, link: &PageLink) -> Self {
        let SortColumn { label, key, figures } = *column;
        // A second click turns the order round; the first begins where people look first.
        let order = match (sorted, figures) {
            ("descending", _) | ("", false) => "asc",
            _ => "desc",
        };
        let href = (!key.is_empty()).then(|| link.with("sort", key).with("order", order).href());
        Self { key, label, href, sorted, figures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_sorts_and_the_next_turns_round() {
        let columns = [
            SortColumn { label: "Type", key: "type", figures: false },
            SortColumn { label: "Run", key: "run", figures: true },
            SortColumn { label: "Process", key: "", figures: false },
        ];
        let link = PageLink::of("/web/task", "type=a&sort=type&order=asc&cursor=c");
        let heads = heads(&columns, &link, "type", false);
        assert_eq!(heads[0].href.as_deref(), Some("/web/task?type=a&sort=type&order=desc"));
        assert_eq!(heads[1].href.as_deref(), Some("/web/task?type=a&sort=run&order=desc"));
        assert_eq!(heads.iter().map(|head| head.sorted).collect::<Vec<_>>(), ["ascending", "", ""]);
        assert_eq!(heads[2].href, None);
        let turned = super::heads(&columns, &link, "run", true);
        assert_eq!(turned[1].href.as_deref(), Some("/web/task?type=a&sort=run&order=asc"));
    }
}

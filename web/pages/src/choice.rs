//! A filter with several values: a list of boxes to tick that opens below its button.

use askama::Template;
use askama::filters::HtmlSafe;
use flowlord_web_core::params::QueryParams;

use super::parts::grouped;

const NAMED: usize = 2;

#[derive(Template)]
#[template(path = "parts/choice.html")]
pub(crate) struct FilterChoice {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) options: Vec<ChoiceValue>,
}

// It escapes what it holds itself.
impl HtmlSafe for FilterChoice {}

pub(crate) struct ChoiceValue {
    pub(crate) value: String,
    /// How many there are, where that is known.
    pub(crate) count: Option<String>,
    pub(crate) chosen: bool,
}

impl FilterChoice {
    /// With the values that there are, and those that are chosen.
    pub(crate) fn new(
        name: &'static str,
        label: &'static str,
        params: &QueryParams,
        known: impl IntoIterator<Item = (String, Option<u64>)>,
    ) -> Self {
        let chosen: Vec<&str> = params.many(name).collect();
        let mut options: Vec<ChoiceValue> = known
            .into_iter()
            .map(|(value, count)| ChoiceValue {
                chosen: chosen.contains(&value.as_str()),
                count: count.map(grouped),
                value,
            })
            .collect();
        // A filter of a bookmark may match nothing today: it must be seen to be taken away.
        for value in chosen {
            if !options.iter().any(|option| option.value == value) {
                options.push(ChoiceValue { value: value.to_owned(), count: None, chosen: true });
            }
        }
        Self { name, label, options }
    }

    pub(crate) fn is_chosen(&self) -> bool {
        self.options.iter().any(|option| option.chosen)
    }

    /// `load, extract, 3 more`.
    fn chosen_words(&self) -> String {
        let chosen: Vec<&str> =
            self.options.iter().filter(|option| option.chosen).map(|option| option.value.as_str()).collect();
        match chosen.len().saturating_sub(NAMED) {
            0 => chosen.join(", "),
            more => format!("{}, {more} more", chosen[..NAMED].join(", ")),
        }
    }
}

/// Whether the chosen types and jobs include those of a task.
pub(crate) fn is_task_chosen(params: &QueryParams, topic: &str, job: &str) -> bool {
    is_chosen(params, [("type", topic), ("job", job)])
}

/// Whether what is chosen by each name includes its value. Where nothing is chosen, everything is.
pub(crate) fn is_chosen<const N: usize>(params: &QueryParams, values: [(&str, &str); N]) -> bool {
    values.into_iter().all(|(name, value)| {
        let mut chosen = params.many(name).peekable();
        chosen.peek().is_none() || chosen.any(|chosen| chosen == value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_stays_even_where_there_is_none() {
        let params = QueryParams::parse("type=load,gone&type=x", &["type"]).unwrap();
        let known = [("load".to_owned(), Some(1_200)), ("extract".to_owned(), Some(3))];
        let choice = FilterChoice::new("type", "Type", &params, known);
        let options: Vec<_> = choice.options.iter().map(|o| (o.value.as_str(), o.count.as_deref(), o.chosen)).collect();
        let expected =
            [("load", Some("1,200"), true), ("extract", Some("3"), false), ("gone", None, true), ("x", None, true)];
        assert_eq!(options, expected);
        assert_eq!(choice.chosen_words(), "load, gone, 1 more");
        assert!(!FilterChoice::new("job", "Job", &params, []).is_chosen());
    }
}

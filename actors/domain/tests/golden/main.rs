//! The golden cases of the reference system, run against this crate: one test per file.
//!
//! `FLOWLORD_GOLDEN` names another folder of cases of the same shapes. Where we depart from the reference on
//! purpose, a rule says for which cases and what we do instead; `tests/golden/README.md` lists the rules.

mod case;
mod dates_and_times;
mod results;
mod rules;
mod workflows;

use case::{File, run};

/// Files whose functions live in other crates, or are checked there.
const ELSEWHERE: [&str; 9] = [
    "alert_summary.json",
    "backload.json",
    "backload_parse_time.json",
    "file_match.json",
    "info.json",
    "meta_unmarshal.json",
    "recap.json",
    "slack_payload.json",
    "task_view.json",
];

macro_rules! golden {
    ($($name:ident => $check:path),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(concat!(stringify!($name), ".json"), $check);
            }
        )*

        /// No file of cases is left out by accident.
        #[test]
        fn every_file_has_a_test() {
            let here = [$(concat!(stringify!($name), ".json")),*];
            let missing: Vec<String> = File::names()
                .into_iter()
                .filter(|name| !here.contains(&name.as_str()) && !ELSEWHERE.contains(&name.as_str()))
                .collect();
            assert!(missing.is_empty(), "no test for {missing:?}");
        }
    };
}

golden! {
    batch_range => workflows::batch_range,
    cron_invalid => rules::cron_invalid,
    cron_next => dates_and_times::cron_next,
    is_ready => rules::is_ready,
    job_run => workflows::job_run,
    phase => rules::phase,
    print_duration => dates_and_times::print_duration,
    process => results::process,
    rule_parse => rules::rule_parse,
    task_json => results::task_json,
    tmpl_info_time => dates_and_times::info_time,
    tmpl_meta => dates_and_times::tmpl_meta,
    tmpl_parse => dates_and_times::tmpl_parse,
    tmpl_path_time => dates_and_times::path_time,
    tmpl_print_dates => dates_and_times::print_dates,
    tmpl_task_time => dates_and_times::task_time,
    workflow_get_children => workflows::get_children,
}

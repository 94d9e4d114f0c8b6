//! The golden cases of the reference system: one test per file.
//!
//! `FLOWLORD_GOLDEN` names another folder of cases of the same shapes. Where we depart from the reference on
//! purpose, a rule says for which cases and what we do instead; docs/departures.md lists the rules.

// All of it is test code, helpers too: lints that spare tests look for this.
#![cfg(test)]

mod backload;
mod case;
mod dates_and_times;
mod departures;
mod files;
mod history;
mod info;
mod results;
mod rules;
mod shape;
mod slack;
mod store;
mod workflows;

use case::{Folder, run};
use shape::Form::{Bool, Keys, List, Map, Text};
use shape::Shape;

/// Names each file, what checks it, and what its cases are made of.
macro_rules! golden {
    ($($name:ident: $check:path => $shape:expr;)*) => {
        $(
            #[test]
            fn $name() {
                run(concat!(stringify!($name), ".json"), &$shape, $check);
            }
        )*

        #[test]
        fn every_file_has_a_test() {
            let known = [$(concat!(stringify!($name), ".json")),*];
            let unknown = Folder::chosen().unknown(&known);
            assert!(unknown.is_empty(), "no test for {unknown:?}");
        }
    };
}

golden! {
    alert_summary: slack::alert_summary => Shape::of(Keys(&["alerts", "host", "port"]), &[Keys(&["lines", "message"])]);
    backload: backload::backload => Shape::of(
        Keys(&["body"]),
        &[Keys(&["body", "code", "content_type", "count", "sent_count", "sent_topic", "status", "tasks",
            "tasks_first_3", "tasks_last_3"])],
    ).with_setup(&["empty.json", "files", "rows.json"]);
    backload_parse_time: backload::parse_time => Shape::of(Text, &[Text]);
    batch_range: workflows::batch_range => Shape::of(
        Keys(&["by", "end", "job", "meta", "metafile", "metafile_rows", "start", "task", "template",
            "workflow", "zone"]),
        &[List],
    );
    cron_invalid: rules::cron_invalid => Shape::of(Text, &[Text]);
    cron_next: dates_and_times::cron_next => Shape::of(Keys(&["expr", "start"]), &[List]);
    file_match: files::file_match =>
        Shape::of(Keys(&["event"]), &[Keys(&["file_messages", "stat", "tasks"])]).with_setup(&["files"]);
    info: info::info => Shape::of(
        Keys(&["files", "schedule_calls"]),
        &[Keys(&["app_name", "last_cache", "next_cache", "runtime", "version", "workflow"])],
    );
    is_ready: rules::is_ready => Shape::of(Keys(&["meta", "rule"]), &[Bool]);
    job_run: workflows::job_run => Shape::of(Keys(&["rule", "task", "template"]), &[Keys(&["alerts", "sent"])]);
    meta_unmarshal: backload::meta_unmarshal => Shape::of(Text, &[Map]);
    phase: rules::phase => Shape::of(
        Keys(&["dependsOn", "retry", "rule", "task", "template"]),
        &[Keys(&["is_empty", "job", "status", "topic"])],
    );
    print_duration: dates_and_times::print_duration =>
        Shape::of(Keys(&["ns"]), &[Keys(&["go_string", "print_duration"])]);
    process: results::process => Shape::of(
        Keys(&["failed_topic", "producer_fails_on_topic", "task"]),
        &[Keys(&["alerts_stored", "panic", "sent", "slack_posts", "task_records"])],
    ).with_setup(&["files"]);
    recap: history::recap => Shape::of(
        Keys(&["day", "tasks"]),
        &[Keys(&["json", "text_sorted_by_key", "web_counts", "web_hourly", "web_jobs_by_type", "web_keys",
            "web_types"])],
    );
    rule_parse: rules::rule_parse => Shape::of(Text, &[Keys(&[
        "batch_job", "batch_job_error", "count", "files", "job", "new_job", "new_job_error", "no_alert",
        "require", "retry_delay", "validate", "values", "values_error",
    ])]);
    slack_payload: slack::slack_payload => Shape::of(
        Keys(&["channel", "http_code", "level", "message", "prefix", "title", "url"]),
        &[Keys(&["attachments", "channel"])],
    );
    task_json: results::task_json => Shape::of(Text, &[Text]);
    task_view: history::task_view => Shape::of(
        Keys(&["day", "filter", "id"]),
        &[Keys(&["Completed", "Events", "LastUpdate", "tasks", "total"])],
    ).with_setup(&["tasks"]);
    tmpl_info_time: dates_and_times::info_time => Shape::of(Text, &[Text]);
    tmpl_meta: dates_and_times::tmpl_meta =>
        Shape::of(Keys(&["meta", "query", "template"]), &[Keys(&["keys", "result"])]);
    tmpl_parse: dates_and_times::tmpl_parse => Shape::of(Keys(&["host", "template", "time"]), &[Text]);
    tmpl_path_time: dates_and_times::path_time => Shape::of(Text, &[Text]);
    tmpl_print_dates: dates_and_times::print_dates => Shape::of(List, &[Text]);
    tmpl_task_time: dates_and_times::task_time => Shape::of(Keys(&["info", "meta"]), &[Text]);
    workflow_get_children: workflows::get_children => Shape::of(
        Keys(&["job", "meta", "search", "toml", "type"]),
        &[List, Keys(&["children", "dependsOn", "file_path", "get", "retry", "rule", "status", "task",
            "template"])],
    ).with_setup(&["files"]);
}

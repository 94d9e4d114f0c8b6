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
mod masks;
mod meta_files;
mod results;
mod rules;
mod shape;
mod slack;
mod spelling;
mod store;
mod workflows;

use case::{Folder, run, run_variations};
use shape::Form::{Bool, Keys, List, Map, Rows, Text};
use shape::Shape;

/// As many files of cases there are beside this one, and as many cases in them: none gets lost.
const OWN_FILES: usize = 26;
const OWN_CASES: usize = 895;

/// As many variations there are at least.
const VARIATIONS: usize = 99;

/// The keys of a task as it was recorded.
const TASK: &[&str] = &["created", "ended", "id", "info", "job", "meta", "msg", "result", "started", "type"];

/// The keys of a task that was sent.
const SENT: &[&str] =
    &["created_is_new", "has_id", "has_started", "info", "job", "meta", "msg", "result", "same_id", "topic", "type"];

/// The keys of a phase.
const PHASE: &[&str] = &["dependsOn", "file_path", "retry", "rule", "status", "task", "template"];

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
        fn every_case_of_every_file_is_run() {
            let run = [$(run(concat!(stringify!($name), ".json"), &$shape, $check)),*];
            let (count, is_ours) = Folder::chosen().count(&[$(concat!(stringify!($name), ".json")),*]);
            assert_eq!(run.iter().sum::<usize>(), count);
            assert!(!is_ours || (count, run.len()) == (OWN_CASES, OWN_FILES), "{count} cases of {} files", run.len());
        }

        #[test]
        fn variations_of_each_kind_are_run() {
            let run = [$(run_variations(concat!(stringify!($name), ".json"), &$shape, $check)),*];
            assert!(run.iter().sum::<usize>() >= VARIATIONS, "{run:?}");
        }

        #[test]
        fn every_file_has_a_test() {
            let known = [$(concat!(stringify!($name), ".json")),*];
            let unknown = Folder::chosen().unknown(&known);
            assert!(unknown.is_empty(), "no test for {unknown:?}");
        }
    };
}

golden! {
    alert_summary: slack::alert_summary => Shape::of(Keys(&["alerts", "host", "port"]), &[Keys(&["lines", "message"])])
        .with_inner(&[
            (&["input", "alerts"], Rows(&["job", "task_time", "type"])),
            (&["expected", "lines"], Rows(&["count", "key", "time_range"])),
        ]);
    backload: backload::backload => Shape::of(
        Keys(&["body"]),
        &[Keys(&["body", "code", "content_type", "count", "sent_count", "sent_topic", "status", "tasks",
            "tasks_first_3", "tasks_last_3"])],
    ).with_setup(&["files"]).with_inner(&[
        (&["expected", "tasks"], Rows(TASK)),
        (&["expected", "tasks_first_3"], Rows(TASK)),
        (&["expected", "tasks_last_3"], Rows(TASK)),
    ]);
    backload_parse_time: backload::parse_time => Shape::of(Text, &[Text]);
    batch_range: workflows::batch_range => Shape::of(
        Keys(&["by", "end", "job", "meta", "metafile", "metafile_rows", "start", "task", "template",
            "workflow", "zone"]),
        &[Rows(TASK)],
    ).with_inner(&[(&["input", "meta"], Map), (&["input", "metafile_rows"], List)]);
    cron_invalid: rules::cron_invalid => Shape::of(Text, &[Text]);
    cron_next: dates_and_times::cron_next => Shape::of(Keys(&["expr", "start"]), &[List]);
    file_match: files::file_match =>
        Shape::of(Keys(&["event"]), &[Keys(&["file_messages", "stat", "tasks"])])
            .with_setup(&["files"])
            .with_inner(&[
                (&["expected", "file_messages"], Rows(&[
                    "last_modified", "n_task_ids", "path", "size", "task_names", "task_time",
                ])),
                (&["expected", "stat"], Keys(&[
                    "bytecnt", "checksum", "created", "files", "isDir", "linecnt", "path", "size",
                ])),
                (&["expected", "tasks"], Rows(SENT)),
            ]);
    info: info::info => Shape::of(
        Keys(&["files", "schedule_calls"]),
        &[Keys(&["app_name", "last_cache", "next_cache", "runtime", "version", "workflow"])],
    ).with_inner(&[(&["input", "files"], Map), (&["expected", "workflow"], Map)]);
    is_ready: rules::is_ready => Shape::of(Keys(&["meta", "rule"]), &[Bool]);
    job_run: workflows::job_run =>
        Shape::of(Keys(&["rule", "task", "template"]), &[Keys(&["alerts", "sent"])]).with_setup(&["files"]).with_inner(&[
            (&["expected", "alerts"], Rows(SENT)),
            (&["expected", "sent"], Rows(SENT)),
        ]);
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
    ).with_setup(&["files"]).with_inner(&[
        (&["input", "task"], Keys(TASK)),
        (&["expected", "alerts_stored"], Rows(&["job", "msg", "task_id", "task_time", "type"])),
        (&["expected", "sent"], Rows(SENT)),
        (&["expected", "slack_posts"], Rows(&["attachments", "channel"])),
        (&["expected", "task_records"], Rows(TASK)),
    ]);
    recap: history::recap => Shape::of(
        Keys(&["day", "tasks"]),
        &[Keys(&["json", "text_sorted_by_key", "web_counts", "web_hourly", "web_jobs_by_type", "web_keys",
            "web_types"])],
    ).with_inner(&[(&["input", "tasks"], Rows(TASK))]);
    rule_parse: rules::rule_parse => Shape::of(Text, &[Keys(&[
        "batch_job", "batch_job_error", "count", "files", "job", "new_job", "new_job_error", "no_alert",
        "require", "retry_delay", "validate", "values", "values_error",
    ])]).with_inner(&[
        (&["expected", "batch_job"], Keys(&[
            "by", "cron", "for", "for_ns", "meta", "meta_file", "offset", "offset_ns",
        ])),
        (&["expected", "batch_job", "meta"], Map),
        (&["expected", "retry_delay"], Keys(&["error", "jitter_panic", "ns", "raw"])),
        (&["expected", "values"], Map),
    ]);
    slack_payload: slack::slack_payload => Shape::of(
        Keys(&["channel", "http_code", "level", "message", "prefix", "title", "url"]),
        &[Keys(&["attachments", "channel"])],
    ).with_inner(&[
        (&["expected", "attachments"], Rows(&["author_name", "color", "pretext", "text", "title"])),
    ]);
    task_json: results::task_json => Shape::of(Text, &[Text]);
    task_view: history::task_view => Shape::of(
        Keys(&["day", "filter", "id"]),
        &[Keys(&["Completed", "Events", "LastUpdate", "tasks", "total"])],
    ).with_setup(&["tasks"]).with_inner(&[
        (&["input", "filter"], Keys(&["ID", "Job", "Limit", "Page", "Result", "Type"])),
        (&["expected", "Events"], Rows(TASK)),
        (&["expected", "tasks"], Rows(&[
            "created", "ended", "id", "info", "job", "meta", "msg", "queue_seconds", "queue_time", "result",
            "started", "task_seconds", "task_time", "type",
        ])),
    ]);
    tmpl_info_time: dates_and_times::info_time => Shape::of(Text, &[Text]);
    tmpl_meta: dates_and_times::tmpl_meta =>
        Shape::of(Keys(&["meta", "query", "template"]), &[Keys(&["keys", "result"])]);
    tmpl_parse: dates_and_times::tmpl_parse => Shape::of(Keys(&["host", "template", "time"]), &[Text]);
    tmpl_path_time: dates_and_times::path_time => Shape::of(Text, &[Text]);
    tmpl_print_dates: dates_and_times::print_dates => Shape::of(List, &[Text]);
    tmpl_task_time: dates_and_times::task_time => Shape::of(Keys(&["info", "meta"]), &[Text]);
    workflow_get_children: workflows::get_children => Shape::of(
        Keys(&["job", "meta", "search", "toml", "type"]),
        &[Rows(PHASE), Keys(&["children", "dependsOn", "file_path", "get", "retry", "rule", "status", "task",
            "template"])],
    ).with_setup(&["files"]).with_inner(&[(&["expected", "children"], Rows(PHASE)),
        (&["expected", "get"], Keys(PHASE)),
        (&["input", "search"], List),
    ]);
}

use std::sync::Arc;

use super::*;

fn read(text: &str) -> WorkflowFile {
    WorkflowFile::parse("w.toml", text, "h", Tz::UTC).unwrap()
}

#[test]
fn keys_are_read_in_any_case_and_both_lists_count() {
    let file = read(
        "[[Phase]]\nTASK = \"a\"\nrule = \"cron=0 * * * *&job=x\"\nRetry = 3\n\
         [[phase]]\ntask = \"b:y\"\ndependsOn = \"a\"\n[[Phase]]\ntask = \"c\"\ndepends_on = \"b:y\"\n",
    );
    let names: Vec<_> = file.phases.iter().map(Phase::task_name).collect();
    assert_eq!(names, ["a:x", "b:y", "c"]);
    assert_eq!((file.phases[0].retry, file.phases[0].line), (3, 1));
    assert!(file.phases[0].rule.schedule.is_some());
    assert_eq!(file.phases[2].depends_on, Some(TaskName::parse("b:y")));
    assert_eq!(file.findings, []);
}

#[test]
fn what_is_wrong_has_a_place_and_a_remedy() {
    let text =
        "[[phase]]\ntask = \"a\"\nrule = \"cron=61 * * * *\"\n\n[[phase]]\ntask = 5\ndependOn = \"a\"\nretry = \"x\"\n";
    let findings = WorkflowFile::parse("w.toml", text, "h", Tz::UTC).unwrap_err();
    let texts: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(texts[0].starts_with("w.toml:3:14: invalid cron: 61 * * * *"), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("w.toml:6:8: `task` is a number: write a text")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("did you mean `dependsOn`?")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("w.toml:8:9: `retry` is how often")), "{texts:?}");
}

#[test]
fn a_file_that_is_no_toml_says_where() {
    let findings = WorkflowFile::parse("w.toml", "[[phase]]\ntask = \n", "h", Tz::UTC).unwrap_err();
    assert_eq!((findings[0].line, findings[0].severity), (2, Severity::Error));
    let findings = WorkflowFile::parse("w.toml", "phase = 1\n", "h", Tz::UTC).unwrap_err();
    assert!(findings[0].message.contains("[[phase]]"), "{findings:?}");
}

fn all(files: &[(&str, &str)]) -> Workflows {
    let parse = |(path, text): &(&str, &str)| Arc::new(WorkflowFile::parse(path, text, "h", Tz::UTC).unwrap());
    Workflows::new(files.iter().map(parse))
}

#[test]
fn a_task_s_own_workflow_is_asked_first() {
    let phase = |retry: u32| format!("[[phase]]\ntask = \"a:j\"\nretry = {retry}\n");
    let workflows = all(&[("b.toml", &phase(2)), ("a.toml", &phase(1)), ("c.toml", "")]);
    assert_eq!(workflows.phase_for("b.toml", "a", "j").unwrap().retry, 2);
    assert_eq!(workflows.phase_for("c.toml", "a", "j").unwrap().retry, 1);
    assert_eq!(workflows.phase_for("", "a", "j").unwrap().retry, 1);
    assert!(workflows.phase_for("a.toml", "a", "").is_none());
    assert_eq!(workflows.phase_named("b.toml", "a:j").unwrap().retry, 2);
}

#[test]
fn the_first_of_several_phases_and_the_last_of_several_files_count() {
    let phase = |task: &str, retry: u32| format!("[[phase]]\ntask = \"{task}\"\nretry = {retry}\n");
    let twice = phase("a:j", 1) + &phase("b", 9) + &phase("a:j", 2);
    let workflows = all(&[("w.toml", &phase("a:j", 7)), ("x.toml", &phase("b", 3)), ("w.toml", &twice)]);
    assert_eq!(workflows.files().iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["w.toml", "x.toml"]);
    assert_eq!(workflows.phases().map(|phase| phase.retry).collect::<Vec<_>>(), [1, 9, 2, 3]);
    assert_eq!(workflows.phase_named("w.toml", "a:j").unwrap().retry, 1);
    assert_eq!(workflows.phase_for("other.toml", "a", "j").unwrap().retry, 1);
    assert_eq!(workflows.phase_for("x.toml", "b", "").unwrap().retry, 3);
    assert!(workflows.phase_named("v.toml", "b").is_none() && workflows.phase_named("x.toml", "b:j").is_none());
    assert_eq!(workflows.file_at("x.toml").unwrap().phases.len(), 1);
    assert!(workflows.file_at("x").is_none());
}

#[test]
fn children_follow_a_topic_or_one_job_of_it_by_name() {
    let text = "[[phase]]\ntask = \"z\"\ndependsOn = \"a\"\n[[phase]]\ntask = \"y\"\ndependsOn = \"a:j\"\n\
                [[phase]]\ntask = \"x\"\ndependsOn = \"a:other\"\n";
    let workflows = all(&[("w.toml", text), ("v.toml", text)]);
    let names = |job| workflows.children_of("w.toml", "a", job).map(Phase::task_name).collect::<Vec<_>>();
    assert_eq!(names("j"), ["y", "z"]);
    assert_eq!(names(""), ["z"]);
    assert_eq!(workflows.children_of("", "a", "j").count(), 0);
}

#[test]
fn a_cycle_starts_nothing() {
    let text = "[[phase]]\ntask = \"a\"\ndependsOn = \"b\"\n[[phase]]\ntask = \"b\"\ndependsOn = \"a\"\n\
                [[phase]]\ntask = \"leaf\"\ndependsOn = \"b\"\n[[phase]]\ntask = \"self\"\ndependsOn = \"self\"\n";
    let workflows = all(&[("w.toml", text)]);
    let names = |topic| workflows.children_of("w.toml", topic, "").map(Phase::task_name).collect::<Vec<_>>();
    assert_eq!((names("a"), names("b"), names("self")), (vec![], vec!["leaf".to_owned()], vec![]));
    let cyclic: Vec<_> = workflows.phases().filter(|phase| phase.is_cyclic).map(Phase::task_name).collect();
    assert_eq!(cyclic, ["a", "b", "self"]);
}

/// Each result asks for the phase of its task and for its children.
#[test]
fn ten_thousand_phases_are_asked_quickly() {
    let chain = |n: usize| format!("[[phase]]\ntask = \"worker:{n}\"\ndependsOn = \"worker:{}\"\n", n + 1);
    let text: String = (0..10_000).map(chain).collect();
    let workflows = all(&[("w.toml", &text)]);
    assert!(workflows.phases().all(|phase| !phase.is_cyclic));
    let children: usize = (1..10_000).map(|n| workflows.children_of("w.toml", "worker", &n.to_string()).count()).sum();
    let found = (0..10_000).filter(|n| workflows.phase_for("", "worker", &n.to_string()).is_some()).count();
    assert_eq!((children, found), (9_999, 10_000));
}

#[test]
fn a_phase_off_the_circle_still_starts_it_once() {
    // The first start comes from outside; what follows would go round for ever.
    let text = "[[phase]]\ntask = \"in\"\nrule = \"cron=@daily\"\n[[phase]]\ntask = \"w:a\"\ndependsOn = \"in\"\n\
                [[phase]]\ntask = \"w:b\"\ndependsOn = \"w\"\n";
    let workflows = all(&[("w.toml", text)]);
    let names = |topic, job| workflows.children_of("w.toml", topic, job).map(Phase::task_name).collect::<Vec<_>>();
    assert_eq!((names("in", ""), names("w", "a"), names("w", "b")), (vec!["w:a".into()], vec!["w:b".into()], vec![]));
    let marked: Vec<_> = workflows.phases().filter(|phase| phase.is_cyclic).map(Phase::task_name).collect();
    assert_eq!(marked, ["w:b"]);
}

#[test]
fn what_is_wrong_between_phases_is_found() {
    let text = "[[phase]]\ntask = \"load\"\nrule = \"cron=@daily\"\n[[phase]]\ntask = \"load\"\nrule = \"cron=@hourly\"\n\
                [[phase]]\ntask = \"b\"\ndependsOn = \"lod\"\n[[phase]]\ntask = \"load\"\ndependsOn = \"b\"\nretry = 3\n\
                [[phase]]\ntask = \"self\"\ndependsOn = \"self\"\n";
    let other = "[[phase]]\ntask = \"load\"\nrule = \"cron=@daily\"\n";
    let workflows = all(&[("a.toml", text), ("b.toml", other)]);
    let findings: Vec<String> = crate::check::check_workflows(&workflows).iter().map(Finding::to_string).collect();
    assert_eq!(
        findings,
        [
            "a.toml:9:13: parent task not found: lod: did you mean `load`?",
            "a.toml:11:8: load is defined twice: for retries and alerts only the one on line 1 is used, give this one another job",
            "a.toml:16:13: self depends on itself: self -> self: this cycle starts nothing, remove one dependsOn",
            "b.toml:2:8: load is also in a.toml: tasks that name no workflow belong to that one; give it another job, or send its tasks with workflow=b.toml in their meta",
        ]
    );
    assert!(crate::check::has_errors(&crate::check::check_workflows(&workflows)));
}

#[test]
fn what_is_before_a_phase_is_found_upwards_and_over_files() {
    let text = "[[phase]]\ntask = \"a:x\"\nrule = \"cron=@daily\"\n[[phase]]\ntask = \"a:y\"\nrule = \"files=/in/*\"\n\
                [[phase]]\ntask = \"b\"\ndependsOn = \"a\"\n[[phase]]\ntask = \"c\"\ndependsOn = \"a:y\"\n\
                [[phase]]\ntask = \"d\"\ndependsOn = \"b\"\nrule = \"cron=@hourly\"\n";
    let other = "[[phase]]\ntask = \"e\"\ndependsOn = \"w.toml#c\"\n[[phase]]\ntask = \"f\"\ndependsOn = [\"e\", \"w.toml#d\"]\n\
                 [[phase]]\ntask = \"g\"\ndependsOn = \"f\"\n";
    let workflows = all(&[("w.toml", text), ("other.toml", other)]);
    let names = |phases: Vec<&Phase>| phases.into_iter().map(Phase::task_name).collect::<Vec<_>>().join(" ");
    let phase = |task: &str| workflows.phases().find(|phase| phase.task_name() == task).unwrap();
    for (task, parents, before, up_to_joins) in [
        ("a:x", "", "a:x", "a:x"),
        ("b", "a:x a:y", "b a:x a:y", "b a:x a:y"),
        ("d", "b", "d b a:x a:y", "d b a:x a:y"),
        ("e", "c", "e c a:y", "e c a:y"),
        ("f", "e d", "f e d c b a:y a:x", "f"),
        ("g", "f", "g f e d c b a:y a:x", "g f"),
    ] {
        let phase = phase(task);
        let all = workflows.phases_before(phase, |_| true);
        let some = workflows.phases_before(phase, |phase| !phase.is_join);
        let found = [names(workflows.parents_of(phase)), names(all), names(some)];
        assert_eq!(found, [parents, before, up_to_joins], "{task}");
    }
}

#[test]
fn what_follows_a_task_is_listed_once_in_whatever_file_it_is() {
    let phase = |task: &str, parents: &str| format!("[[phase]]\ntask = \"{task}\"\ndependsOn = {parents}\n");
    let one = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n".to_owned()
        + &phase("b", "\"a\"")
        + &phase("join", "[\"a\", \"b\"]")
        + &phase("twice", "[\"a\", \"one.toml#a\"]");
    let two = phase("c", "\"one.toml#a\"") + &phase("other", "\"b\"") + "[[phase]]\ntask = \"b\"\n";
    let workflows = all(&[("one.toml", &one), ("two.toml", &two)]);
    let names = |file: &str, task: &str| {
        let mut names: Vec<_> =
            workflows.all_children_of(file, task, "").iter().map(|phase| phase.task_name()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("one.toml", "a"), ["b", "c", "join", "twice"]);
    assert_eq!(names("one.toml", "b"), ["join"], "a parent is of the own file");
    assert_eq!(names("two.toml", "b"), ["other"]);
    assert!(names("two.toml", "a").is_empty() && names("gone.toml", "a").is_empty());
}

mod properties {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn name(topic: usize, job: usize) -> String {
        if job == 0 { format!("t{topic}") } else { format!("t{topic}:j{job}") }
    }

    proptest! {
        /// Whatever depends on whatever: what a task leads to comes to an end.
        #[test]
        fn starting_children_comes_to_an_end(edges in prop::collection::vec(((0..4_usize, 0..3_usize), (0..4_usize, 0..3_usize)), 1..12)) {
            let phase = |((a, b), (c, d)): &((usize, usize), (usize, usize))| {
                format!("[[phase]]\ntask = \"{}\"\ndependsOn = \"{}\"\n", name(*a, *b), name(*c, *d))
            };
            let workflows = all(&[("w.toml", &edges.iter().map(phase).collect::<String>())]);
            for start in workflows.phases() {
                let mut level = BTreeSet::from([start.task.clone()]);
                for _ in 0..=edges.len() {
                    let next = |task: &TaskName| workflows.children_of("w.toml", &task.topic, &task.job).map(|p| p.task.clone()).collect::<Vec<_>>();
                    level = level.iter().flat_map(next).collect();
                }
                prop_assert!(level.is_empty(), "{start:?}");
            }
        }

        /// A phase that lies on no circle is started by its parent.
        #[test]
        fn only_circles_are_cut(edges in prop::collection::vec((0..6_usize, 0..6_usize), 1..8)) {
            let text: String = edges.iter().map(|(a, b)| format!("[[phase]]\ntask = \"{}\"\ndependsOn = \"{}\"\n", name(*a, 0), name(*b, 0))).collect();
            let workflows = all(&[("w.toml", &text)]);
            for phase in workflows.phases() {
                let parent = phase.depends_on.clone().unwrap();
                let started = workflows.children_of("w.toml", &parent.topic, "").any(|child| std::ptr::eq(child, phase));
                prop_assert_eq!(started, !phase.is_cyclic);
            }
        }

        #[test]
        fn any_text_is_judged(text in "(\\[\\[?[pP]hase\\]?\\]\n|task *= *(\"[a-z:]{0,4}\"|1)\n|rule=\"[a-z=&日]{0,6}\"\n|[\"=\\[a\n日]){0,8}") {
            let _ = WorkflowFile::parse("w.toml", &text, "", Tz::UTC);
        }
    }
}

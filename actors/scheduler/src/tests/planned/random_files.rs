//! Workflow files of random phases: roots with schedules, children, and joins of what came before.

use std::collections::BTreeMap;

/// Random bytes, each of which chooses.
pub(super) struct Dice(pub(super) std::vec::IntoIter<u8>);

impl Dice {
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or_default()) % count
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

pub(super) const ZONES: [&str; 5] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];

const CRONS: [&str; 16] = [
    "0 3 * * *",
    "0 * * * *",
    "30 2 * * *",
    "17 8,20 * * *",
    "0 6 * * mon",
    "0 0 1 * *",
    "0 5 31 * *",
    "*/30 1-3 * * *",
    "0 */6 * * *",
    "59 23 * * mon-fri",
    "0 12 */5 * *",
    "0 4 13 * fri",
    "@daily",
    "@weekly",
    "45 0-3 * * *",
    "30 0 12 * * *",
];

const DAYS_OFF: [&str; 6] =
    ["", "", "&not_on=sat,sun", "&not_on=sun&on=next", "&not_on=sat,sun&on=previous", "&not_on=03-29,10-25&on=next"];

const BATCHES: [&str; 6] = ["", "", "", "&meta=k:a,b", "&for=-48h&by=day", "&for=2h&by=hour&meta=k:a,b|j:c,d"];

const JOINS: [&str; 13] = [
    "",
    "&over=day",
    "&join=any",
    "&join=2",
    "&over=day&join=any",
    "&over=day&join=3",
    "&over=week",
    "&over=month",
    "&over=hour",
    "&again=true",
    "&over=day&again=true",
    "&over=week&join=4",
    "&over=day&join=3&again=true",
];

const TEMPLATES: [&str; 5] = [
    "?day={yyyy}-{mm}-{dd}",
    "?hour={yyyy}-{mm}-{dd}T{hh}",
    "{ts} {min} {meta:k}",
    "{HOUR_SLUG}/{meta:file}?rows={meta:rows}",
    "",
];

/// The workflows of a case, by file, and the phases that later ones may wait for.
#[derive(Default)]
pub(super) struct WrittenFiles {
    texts: BTreeMap<&'static str, String>,
    phases: Vec<(&'static str, String)>,
}

impl WrittenFiles {
    pub(super) fn write(phases: Vec<Vec<u8>>) -> BTreeMap<&'static str, String> {
        let mut files = Self::default();
        for bytes in phases {
            files.add_phase(&mut Dice(bytes.into_iter()));
        }
        files.texts
    }

    fn add_phase(&mut self, dice: &mut Dice) {
        let file = ["a.toml", "b.toml"][dice.below(4) / 3];
        let name = format!("t{}{}", self.phases.len(), dice.pick(&["", ":j"]));
        let kind = if self.phases.is_empty() { 0 } else { dice.below(3) };
        let (name, starts) = match kind {
            0 => (name, root(dice)),
            // Another phase of a name, sometimes with the same schedule.
            1 if dice.below(8) == 0 => (self.phases[dice.below(self.phases.len())].1.clone(), root(dice)),
            1 => (name, self.child(file, dice)),
            _ => (name, self.join(file, dice)),
        };
        let template = dice.pick(&TEMPLATES);
        let text = format!("[[phase]]\ntask = \"{name}\"\n{starts}template = \"{template}\"\n\n");
        // Or by mistake twice.
        let times = if kind == 0 && dice.below(8) == 0 { 2 } else { 1 };
        self.texts.entry(file).or_default().push_str(&text.repeat(times));
        self.phases.push((file, name));
    }

    fn child(&self, file: &str, dice: &mut Dice) -> String {
        let parent = self.parent(file, dice);
        // Without a job it is any job's child.
        let parent = if dice.below(3) == 0 { parent.trim_end_matches(":j") } else { &parent };
        let rule = dice.pick(&["", "require={meta:file}", "meta=k:x,y", "retry_delay=5s&max_active=2"]);
        format!("dependsOn = \"{parent}\"\nrule = \"{rule}\"\n")
    }

    fn join(&self, file: &str, dice: &mut Dice) -> String {
        let parents: Vec<String> = (0..=dice.below(3)).map(|_| format!("{:?}", self.parent(file, dice))).collect();
        let rule = format!("{}{}", dice.pick(&JOINS), dice.pick(&["", "", "", "&meta=k:x,y", "&group=g&timeout=1h"]));
        format!("dependsOn = [{}]\nrule = \"{}\"\n", parents.join(", "), rule.trim_start_matches('&'))
    }

    fn parent(&self, file: &str, dice: &mut Dice) -> String {
        let (of, name) = &self.phases[dice.below(self.phases.len())];
        if *of == file { name.clone() } else { format!("{of}#{name}") }
    }
}

fn root(dice: &mut Dice) -> String {
    let zone = if dice.below(3) == 0 { format!("CRON_TZ={} ", dice.pick(&ZONES)) } else { String::new() };
    let offset = dice.pick(&["", "", "&offset=-1h", "&offset=-24h", "&offset=90m"]);
    let start = dice.pick(&["", "", "&jitter=10m", "&jitter=5h"]);
    let more = dice.pick(&["", "&overlap=queue", "&overlap=skip&start_by=1h", "&overlap=latest&rate=9/1m"]);
    let (cron, days, batch) = (dice.pick(&CRONS), dice.pick(&DAYS_OFF), dice.pick(&BATCHES));
    format!("rule = \"cron={zone}{cron}{offset}{days}{start}{batch}{more}\"\n")
}

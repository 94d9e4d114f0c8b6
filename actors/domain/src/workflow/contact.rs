//! Who a phase belongs to, what to do when it fails, and what it is for.

use super::{Phase, Workflows};
use crate::alert::NewAlert;

/// The longest owner or runbook, in bytes: they come with every alert.
const MAX_BYTES: usize = 200;

/// Whom to ask about a phase; a field that its author left out is empty.
///
/// ```
/// use chrono_tz::Tz;
/// use flowlord_domain::workflow::WorkflowFile;
///
/// let text = "owner = \"data-eng\"\n[[phase]]\ntask = \"a\"\n[[phase]]\ntask = \"b\"\nowner = \"finance\"\n";
/// let file = WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap();
/// let owners: Vec<_> = file.phases.iter().map(|phase| phase.contact.owner.as_str()).collect();
/// assert_eq!(owners, ["data-eng", "finance"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhaseContact {
    /// The team or person that it belongs to.
    pub owner: String,
    /// Where it is written what to do when it fails: an http or https address.
    pub runbook: String,
    /// What it is for.
    pub doc: String,
}

impl PhaseContact {
    /// The keys of a phase, and of a file for all its phases.
    pub(super) const KEYS: [&str; 3] = ["owner", "runbook", "doc"];

    /// Sets the field of that key.
    pub(super) fn set_field(&mut self, key: &str, text: String) -> Result<(), String> {
        let field = match key {
            "owner" => &mut self.owner,
            "runbook" => &mut self.runbook,
            _ => &mut self.doc,
        };
        if key == "runbook" && !text.is_empty() && !is_web_address(&text) {
            return Err(format!(
                "runbook `{text}` is no address and is ignored: write one that begins with https:// or http://"
            ));
        }
        if key != "doc" && (text.len() > MAX_BYTES || text.contains(char::is_control)) {
            return Err(format!("`{key}` is ignored: write one line of up to {MAX_BYTES} bytes"));
        }
        *field = text;
        Ok(())
    }

    /// Takes from its file what it doesn't say itself.
    pub(super) fn fill_from(&mut self, file: &Self) {
        let fields = [(&mut self.owner, &file.owner), (&mut self.runbook, &file.runbook), (&mut self.doc, &file.doc)];
        for (own, of_file) in fields {
            if own.is_empty() {
                own.clone_from(of_file);
            }
        }
    }
}

/// Whether people may click it: nothing else than a page of the web, whatever the file says.
fn is_web_address(text: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let has_host =
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['));
    has_host && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'<>\\`|".contains(c))
}

impl NewAlert {
    /// The same with the owner and the runbook of a phase.
    #[must_use]
    pub fn with_contact_of(mut self, phase: &Phase) -> Self {
        self.owner.clone_from(&phase.contact.owner);
        self.runbook.clone_from(&phase.contact.runbook);
        self
    }

    /// The same with those of the phase that it is about, if one is known.
    #[must_use]
    pub fn with_contact(self, workflows: &Workflows) -> Self {
        match workflows.phase_for(&self.workflow, &self.topic, &self.job) {
            Some(phase) => self.with_contact_of(phase),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use chrono_tz::Tz;

    use super::*;
    use crate::alert::AlertKind;
    use crate::workflow::WorkflowFile;

    fn file(text: &str) -> WorkflowFile {
        WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap()
    }

    #[test]
    fn a_phase_has_what_its_file_says_unless_it_says_it_itself() {
        let text = "Owner = \"data-eng\"\nrunbook = \"https://wiki/a\"\ndoc = \"Orders.\"\n\
                    [[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n\
                    [[phase]]\ntask = \"b\"\ndependsOn = \"a\"\nowner = \"finance\"\nRunbook = \"http://h:1/b?x=1#y\"\n";
        let file = file(text);
        let [first, second] = &file.phases[..] else { unreachable!() };
        let texts =
            |phase: &Phase| [&phase.contact.owner, &phase.contact.runbook, &phase.contact.doc].map(String::clone);
        assert_eq!(texts(first), ["data-eng", "https://wiki/a", "Orders."]);
        assert_eq!(texts(second), ["finance", "http://h:1/b?x=1#y", "Orders."]);
        assert_eq!(file.findings, []);
    }

    #[test]
    fn what_is_no_address_or_no_text_is_ignored_and_found() {
        let phase = |fields: &str| file(&format!("[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n{fields}\n"));
        for bad in
            ["javascript:alert(1)", "wiki/a", "https://", "https:// a", "https://h/<b>", "HTTPS://h", "https://h|x"]
        {
            let file = phase(&format!("runbook = \"{bad}\""));
            assert_eq!(file.phases[0].contact.runbook, "", "{bad}");
            let found = file.findings[0].to_string();
            assert!(found.starts_with(&format!("w.toml:4:11: runbook `{bad}` is no address")), "{found}");
        }
        for (field, says) in [
            ("owner = 5", "w.toml:4:9: `owner` is a number and is ignored: write a text in quotes"),
            ("owner = \"a\\nb\"", "w.toml:4:9: `owner` is ignored: write one line of up to 200 bytes"),
            ("ownr = \"a\"", "w.toml:4:1: `ownr` is unknown: did you mean `owner`?"),
        ] {
            let file = phase(field);
            assert_eq!(file.findings[0].to_string(), says);
            assert_eq!(file.phases[0].contact, PhaseContact::default());
        }
        // As in files of before: such a key was a note of the author.
        let of_file = file("owner = [\"a\"]\n[[phase]]\ntask = \"a\"\nrule = \"cron=@daily\"\n");
        assert_eq!(
            of_file.findings[0].to_string(),
            "w.toml:1:9: `owner` is a list and is ignored: write a text in quotes"
        );
    }

    #[test]
    fn a_contact_is_one_line_and_a_doc_may_be_a_page() {
        let set = |key: &str, text: &str| {
            let mut contact = PhaseContact::default();
            contact.set_field(key, text.to_owned()).map(|()| contact)
        };
        let (longest, longer) = ("a".repeat(MAX_BYTES), "a".repeat(MAX_BYTES + 1));
        assert_eq!(set("owner", &longest).unwrap().owner, longest);
        assert!(set("owner", &longer).unwrap_err().starts_with("`owner` is ignored"));
        let address = |bytes: usize| format!("https://h/{}", "a".repeat(bytes - "https://h/".len()));
        assert_eq!(set("runbook", &address(MAX_BYTES)).unwrap().runbook.len(), MAX_BYTES);
        assert!(set("runbook", &address(MAX_BYTES + 1)).unwrap_err().starts_with("`runbook` is ignored"));
        assert_eq!(set("doc", &(longer.clone() + "\n\n" + &longer)).unwrap().doc.len(), 2 * MAX_BYTES + 4);
        assert_eq!(set("runbook", "").unwrap(), PhaseContact::default(), "an empty one takes that of the file");
    }

    #[test]
    fn an_alert_has_the_contact_of_its_phase() {
        let file =
            file("owner = \"ann\"\nrunbook = \"https://h\"\n[[phase]]\ntask = \"a:x\"\nrule = \"cron=@daily\"\n");
        let workflows = Workflows::new([file.into()]);
        let alert = |topic: &str, job: &str| {
            let alert = NewAlert::without_task(AlertKind::NoWorkers, topic, String::new(), DateTime::UNIX_EPOCH);
            let alert = NewAlert { job: job.to_owned(), ..alert }.with_contact(&workflows);
            (alert.owner, alert.runbook)
        };
        assert_eq!(alert("a", "x"), ("ann".to_owned(), "https://h".to_owned()));
        assert_eq!(alert("a", "y"), (String::new(), String::new()));
    }
}

//! Calls as the reference system took them: flags without a command, written as Go's flag package reads them.

use std::ffi::OsString;

use flowlord::config::keys::KEYS;
use flowlord::config::{OldFlag, old_flag};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProgramCall {
    pub(super) words: Vec<OsString>,
    pub(super) warnings: Vec<String>,
}

// Go's flag package takes the next word for the value of every other flag.
const SWITCHES: [&str; 5] = ["show", "v", "version", "file-use-file-buf", "file-file-buf-keep-failed"];

#[derive(Default)]
struct OldFlags {
    config: Option<String>,
    show: bool,
    version: bool,
    keys: Vec<(String, String)>,
    warnings: Vec<String>,
}

/// An old call becomes one of today's commands; any other stays as it is.
pub(super) fn modernise_call(words: Vec<OsString>) -> Result<ProgramCall, String> {
    let texts: Option<Vec<&str>> = words.iter().skip(1).map(|word| word.to_str()).collect();
    let flags =
        texts.as_deref().filter(|texts| texts.first().is_some_and(|first| is_old_flag(first))).and_then(parse_flags);
    let Some(flags) = flags else { return Ok(ProgramCall { words, warnings: Vec::new() }) };
    let mut old = OldFlags::default();
    for (name, value) in flags {
        old.take(name, value)?;
    }
    Ok(old.call(words.into_iter().next().unwrap_or_default()))
}

/// Whether a first word makes a call an old one.
fn is_old_flag(word: &str) -> bool {
    // clap answers it in the same way.
    let same = word.starts_with("--version");
    !same
        && parse_flag(word)
            .is_some_and(|(name, _)| is_own_flag(name) || is_key_flag(name) || old_flag(name, "").is_some())
}

fn is_own_flag(name: &str) -> bool {
    ["c", "config", "g", "gen", "show", "v", "version"].contains(&name)
}

fn is_key_flag(name: &str) -> bool {
    key_of_flag(name).is_some()
}

fn key_of_flag(name: &str) -> Option<&'static str> {
    KEYS.iter().map(|key| key.name).find(|key| key.replace(['.', '_'], "-") == name)
}

/// A flag with one dash or two: its name, and the value that stands with it.
fn parse_flag(word: &str) -> Option<(&str, Option<&str>)> {
    let name = word.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
    (!name.is_empty()).then_some((name, value))
}

/// All flags with their values; none when there is anything else among them, so that today's parser says what.
fn parse_flags<'a>(words: &[&'a str]) -> Option<Vec<(&'a str, &'a str)>> {
    let mut flags = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, value) = parse_flag(word)?;
        let known = is_own_flag(name) || is_key_flag(name) || name == "log-format" || old_flag(name, "").is_some();
        let value = match value {
            _ if !known => return None,
            Some(value) => value,
            None if SWITCHES.contains(&name) => "true",
            None => words.next().copied().unwrap_or_default(),
        };
        flags.push((name, value));
    }
    Some(flags)
}

impl OldFlags {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "c" | "config" if value.is_empty() => {
                return Err(format!("-{name} names no file: write `flowlord serve --config FILE`"));
            }
            "c" | "config" => self.config = Some(value.to_owned()),
            "show" => self.show = value != "false",
            "v" | "version" => self.version = value != "false",
            "g" | "gen" if value == "toml" => self.show = true,
            "g" | "gen" => {
                return Err(format!(
                    "-{name} {value}: a configuration is written in TOML: `flowlord serve --print-config` prints one \
                     with every key"
                ));
            }
            "log-format" => self.keys.push((name.to_owned(), value.to_owned())),
            name => match (key_of_flag(name), old_flag(name, value)) {
                (None, Some(OldFlag { set, warnings })) => {
                    self.keys.extend(set.into_iter().map(|(key, value)| (key.replace(['.', '_'], "-"), value)));
                    self.warnings.extend(warnings);
                }
                _ => self.keys.push((name.to_owned(), value.to_owned())),
            },
        }
        Ok(())
    }

    fn call(self, program: OsString) -> ProgramCall {
        let Self { config, show, version, keys, mut warnings } = self;
        // Each word, and what people are to write: values may be secret.
        let mut pairs = Vec::new();
        if version {
            pairs.push(("--version".to_owned(), "--version".to_owned()));
        } else {
            pairs.push(("serve".to_owned(), "serve".to_owned()));
            pairs.extend(config.map(|file| (format!("--config={file}"), format!("--config {file}"))));
            let keys = keys.into_iter();
            pairs.extend(keys.map(|(name, value)| (format!("--{name}={value}"), format!("--{name} …"))));
            pairs.extend(show.then(|| ("--print-config".to_owned(), "--print-config".to_owned())));
        }
        let (words, shown): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let shown = shown.join(" ");
        let warning = format!("a call without a command is that of the old program: write `flowlord {shown}`");
        warnings.insert(0, warning);
        ProgramCall { words: [program].into_iter().chain(words.into_iter().map(Into::into)).collect(), warnings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Result<ProgramCall, String> {
        modernise_call(["flowlord"].into_iter().chain(line.split(' ')).map(OsString::from).collect())
    }

    #[test]
    fn an_old_call_becomes_a_command_with_a_warning() {
        for (old, new) in [
            ("-c f.toml", "serve --config=f.toml"),
            ("-config=f.toml", "serve --config=f.toml"),
            ("--config f.toml", "serve --config=f.toml"),
            ("-c=f.toml -show", "serve --config=f.toml --print-config"),
            ("-show=false -c f.toml", "serve --config=f.toml"),
            ("-v", "--version"),
            ("-version", "--version"),
            ("-gen toml", "serve --print-config"),
            ("-status-port 9090 -workflow ./w", "serve --listen=0.0.0.0:9090 --workflow=./w"),
            ("-c f.toml -slack-url=https://planted", "serve --config=f.toml --notify-url=https://planted"),
            ("--config f.toml --log-format json", "serve --config=f.toml --log-format=json"),
            ("-config f.toml -done_topic done", "serve --config=f.toml"),
        ] {
            let call = call(old).unwrap();
            let words: Vec<_> = call.words[1..].iter().map(|word| word.to_str().unwrap()).collect();
            assert_eq!(words.join(" "), new, "{old}");
            let warnings = call.warnings.join("\n");
            assert!(warnings.contains("write `flowlord ") && !warnings.contains("planted"), "{warnings}");
        }
    }

    #[test]
    fn any_other_call_stays_as_it_is() {
        for line in [
            "serve -c f.toml",
            "--log-format json serve",
            "--help",
            "-h",
            "-V",
            "--version",
            "-c f.toml check x",
            "-c f.toml --lisssten x",
            "-unknown",
            "-",
        ] {
            let words = ["flowlord"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
            assert_eq!(call(line), Ok(ProgramCall { words, warnings: Vec::new() }), "{line}");
        }
    }

    #[test]
    fn what_there_is_no_more_says_what_to_write() {
        assert_eq!(call("-c"), Err("-c names no file: write `flowlord serve --config FILE`".to_owned()));
        assert!(call("-g yaml").unwrap_err().contains("`flowlord serve --print-config`"));
    }
}

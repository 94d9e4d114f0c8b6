//! What the page about workflow files shows is what the program does.

use std::path::Path;
use std::process::{Command, Stdio};

use flowlord_domain::rule::RULE_KEYS;

const PAGE: &str = include_str!("../../docs/workflows.md");

/// A fenced block of the page, and the comment above it.
struct Block {
    language: String,
    text: String,
    comment: String,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push(Block { language: language.to_owned(), text, comment: before.to_owned() });
        }
        before = line;
    }
    blocks
}

fn printed(folder: &Path, command: &str) -> String {
    let args: Vec<&str> = command.split_whitespace().skip(1).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlord"));
    let output = command.args(args).current_dir(folder).env_clear().stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_example_prints_what_stands_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks();
    let mut shown = 0;
    for (n, block) in blocks.iter().enumerate() {
        if let Some(name) = block.comment.strip_prefix("<!-- file: ").and_then(|rest| rest.strip_suffix(" -->")) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &block.text).unwrap();
        }
        if block.language != "toml" {
            continue;
        }
        let below = blocks.get(n + 1).filter(|below| below.language == "text");
        let below = below.unwrap_or_else(|| panic!("nothing below shows what this does:\n{}", block.text));
        let (command, expected) = below.text.split_once('\n').unwrap();
        let command = command.strip_prefix("$ ").unwrap_or_else(|| panic!("no command: {command}"));
        // A folder has the files that comments name.
        let file = command.split_whitespace().nth(2).expect("a file or a folder");
        if file.ends_with(".toml") {
            std::fs::write(folder.path().join(file), &block.text).unwrap();
        }
        assert_eq!(printed(folder.path(), command), expected, "{command}");
        if !command.starts_with("flowlord check") {
            assert_eq!(printed(folder.path(), &format!("flowlord check {file}")), "", "{}", block.text);
        }
        shown += 1;
    }
    assert!(shown >= 10, "{shown} examples");
}

#[test]
fn every_key_of_a_rule_and_every_token_is_on_the_page() {
    let tokens =
        ["yyyy", "yy", "mm", "dd", "hh", "min", "ts", "HOUR_SLUG", "DAY_SLUG", "MONTH_SLUG", "uuid", "host", "pod"];
    let tokens = tokens.map(|token| format!("`{{{token}}}`"));
    let keys = RULE_KEYS.map(|key| format!("`{key}`"));
    let rows: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    for word in keys.iter().chain(&tokens) {
        assert!(rows.iter().any(|row| row.contains(word.as_str())), "{word} is in no table");
    }
}

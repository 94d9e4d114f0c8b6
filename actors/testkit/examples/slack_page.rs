//! Payloads as people see them: an HTML page in the look of Slack, made from the JSON files that are named.
//!
//! `cargo run -p flowlord-testkit --example slack_page docs/slack/*.json > page.html`

#![expect(clippy::print_stdout, reason = "its output is the page")]

use serde_json::Value;

const STYLE: &str = "\
body { margin: 0; padding: 14px 18px; width: 644px; background: #fff; color: #1d1c1d;
  font: 15px/1.47 Lato, 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif; }
.message { display: flex; margin-bottom: 14px; }
.reply { margin-left: 44px; }
.face { flex: none; width: 36px; height: 36px; margin-right: 8px; border-radius: 6px; background: #2f4b6e;
  color: #fff; font-weight: 900; font-size: 20px; line-height: 36px; text-align: center; }
.reply .face { width: 24px; height: 24px; font-size: 14px; line-height: 24px; }
.said { flex: 1; min-width: 0; }
.who { font-weight: 900; }
.app { margin: 0 6px 0 4px; padding: 1px 3px; border-radius: 2px; background: #ddd; color: #616061;
  font-size: 10px; font-weight: 700; vertical-align: 2px; }
.when { color: #616061; font-size: 12px; }
.attachment { display: flex; margin-top: 4px; }
.bar { flex: none; width: 4px; margin-right: 12px; border-radius: 8px; }
.blocks { min-width: 0; flex: 1; }
.blocks > div { margin: 0 0 8px; }
.header { font-size: 18px; font-weight: 900; }
pre { margin: 0; padding: 8px; border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8;
  font: 12px/1.5 Monaco, Menlo, Consolas, 'DejaVu Sans Mono', monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.context { color: #616061; font-size: 13px; }
a { color: #1264a3; text-decoration: none; }
.actions { display: flex; flex-wrap: wrap; gap: 8px; }
.button { padding: 0 12px; border: 1px solid #bbb; border-radius: 4px; font-size: 13px; font-weight: 700;
  line-height: 28px; }
.primary { border-color: #007a5a; background: #007a5a; color: #fff; }
.danger { border-color: #e01e5a; color: #e01e5a; }
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("<!doctype html><meta charset=utf-8><style>{STYLE}</style>");
    for path in std::env::args().skip(1) {
        let file: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        match &file {
            Value::Array(messages) => messages.iter().for_each(|message| println!("{}", page_of(message))),
            message => println!("{}", page_of(message)),
        }
    }
    // For whoever takes a picture of it.
    println!("<script>document.body.dataset.height = document.body.scrollHeight</script>");
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn page_of(message: &Value) -> String {
    let class = if message["thread_ts"].is_null() { "message" } else { "message reply" };
    let attachments: String = list(&message["attachments"]).iter().map(attachment).collect();
    format!(
        "<div class=\"{class}\"><div class=face>f</div><div class=said><span class=who>flowlord</span>\
         <span class=app>APP</span> <span class=when>{}</span>{}{attachments}</div></div>",
        if class == "message" { "" } else { "in the thread" },
        markup(text(&message["text"])),
    )
}

fn attachment(attachment: &Value) -> String {
    let blocks: String = list(&attachment["blocks"]).iter().map(block).collect();
    let colour = text(&attachment["color"]);
    format!(
        "<div class=attachment><div class=bar style=\"background:{colour}\"></div>\
         <div class=blocks>{blocks}</div></div>"
    )
}

fn block(block: &Value) -> String {
    let elements = || list(&block["elements"]).iter();
    let (class, content) = match text(&block["type"]) {
        "header" => ("header", escape(text(&block["text"]["text"]))),
        "context" => ("context", elements().map(|element| markup(text(&element["text"]))).collect()),
        "actions" => ("actions", elements().map(button).collect()),
        _ => ("section", markup(text(&block["text"]["text"]))),
    };
    format!("<div class={class}>{content}</div>")
}

fn button(button: &Value) -> String {
    let label = escape(text(&button["text"]["text"]));
    format!("<span class=\"button {}\">{label}</span>", text(&button["style"]))
}

/// Plain text, which Slack shows as it is.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Slack's markup as far as it is used: fences, bold text, links. It is escaped already.
fn markup(text: &str) -> String {
    text.split("```").enumerate().map(|(nth, part)| if nth % 2 == 1 { fenced(part) } else { inline(part) }).collect()
}

fn fenced(text: &str) -> String {
    format!("<pre>{text}</pre>")
}

fn inline(text: &str) -> String {
    let bold: String = text
        .split('*')
        .enumerate()
        .map(|(nth, part)| if nth % 2 == 1 { format!("<b>{part}</b>") } else { linked(part) })
        .collect();
    bold.replace('\n', "<br>")
}

fn linked(text: &str) -> String {
    let mut parts = text.split('<');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |page, part| {
        let (link, rest) = part.split_once('>').unwrap_or((part, ""));
        let (address, shown) = link.split_once('|').unwrap_or((link, link));
        format!("{page}<a href=\"{address}\">{shown}</a>{rest}")
    })
}

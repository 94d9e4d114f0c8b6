//! Templates: no token that is known stays, and nothing is filled in twice. The first four bytes are the time.

#![no_main]

use flowlord_domain::query::Query;
use flowlord_domain::task_time::{cron_hour, cron_text, task_time};
use flowlord_domain::template::{expand_meta, is_meta_token, is_time_token, meta_keys, render_template_utc};
use flowlord_fuzz::{Counted, instant};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((time, template)) = data.split_first_chunk::<4>() else { return };
    let Ok(template) = std::str::from_utf8(template) else { return };
    let time = instant(*time);
    let text = render_template_utc(template, Some(time), "web-7-x", &mut Counted::default());
    let end = text.find('#').filter(|place| *place > 0).unwrap_or(text.len());
    assert!(!tokens(&text[..end]).any(is_time_token), "{template:?} {text:?}");
    assert_eq!(render_template_utc(template, None, "web-7-x", &mut Counted::default()), template);

    let (filled, keys) = expand_meta(&text, |key| Some(format!("<{key}>")));
    assert_eq!(keys, meta_keys(&text));
    assert!(!tokens(&filled).any(is_meta_token), "{text:?} {filled:?}");
    assert!(keys.iter().all(|key| filled.contains(&format!("<{key}>"))));
    if keys.is_empty() {
        assert_eq!(filled, text);
    }

    if let Some(found) = task_time(&filled, &Query::parse_lenient(&filled)) {
        assert!(cron_hour(&cron_text(found)).is_some_and(|hour| hour <= found), "{found}");
    }
});

/// What stands between an opening brace and the next one of any kind, if that closes.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

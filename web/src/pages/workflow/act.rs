//! What the forms of the page do.

use flowlord_messages::library::Reload;

use super::PATH;
use crate::api::ApiRef;
use crate::pages::Notice;
use crate::problem::Answer;

/// Looks at the files now.
pub(crate) async fn refresh(api: ApiRef) -> Answer {
    let notice = match api.deps.reload.call(Reload).await {
        Ok(found) => {
            let parts =
                [(found.added.len(), "new"), (found.changed.len(), "changed"), (found.removed.len(), "gone")];
            let parts: Vec<String> = parts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
            match parts.is_empty() {
                true => Notice::good("The files were looked at: nothing changed."),
                false => Notice::good(format!("The files were looked at: {}.", parts.join(", "))),
            }
        }
        Err(error) => Notice::bad(error.detail),
    };
    Ok(notice.back_to(PATH))
}

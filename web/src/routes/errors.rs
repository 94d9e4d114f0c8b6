//! What the codes of problem documents mean.

use askama::Template;
use flowlord_messages::Code;

use crate::api::ApiRef;
use crate::problem::Answer;
use crate::routes::html;

#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPage<'a> {
    stylesheet: &'a str,
    icon: &'a str,
    version: &'a str,
    codes: &'a [Code],
}

/// The page that the `type` of every problem points to.
pub(crate) async fn errors(api: ApiRef) -> Answer {
    html(&ErrorsPage {
        stylesheet: api.assets.url("style.css"),
        icon: api.assets.url("icon.svg"),
        version: &api.config.version,
        codes: Code::ALL,
    })
}

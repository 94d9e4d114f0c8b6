//! The demo's Slack: the messages that a channel would show.

use flowlord_web_core::demo_slack::DEMO_SLACK;

use super::slack::ShownMessage;
use super::{NavigationSection, PageLayout, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view(DEMO_SLACK, Role::Viewer, rendered(slack_page))]
}

#[derive(Template)]
#[template(path = "demo_slack.html")]
struct SlackPage {
    layout: PageLayout,
    messages: Vec<ShownMessage>,
}

async fn slack_page(context: &WebContext, request: &HttpRequest) -> Result<SlackPage, Problem> {
    QueryParams::parse(request.query_string(), &["date"])?;
    let slack = context.demo_slack()?;
    Ok(SlackPage {
        layout: PageLayout::live(context, request, NavigationSection::Slack),
        messages: ShownMessage::of_channel(slack.messages()),
    })
}

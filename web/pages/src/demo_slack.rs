//! The demo's Slack: the messages that a channel would show, and clicks on their buttons.

use flowlord_web_core::auth::may_change;
use flowlord_web_core::demo_slack::DEMO_SLACK;
use flowlord_web_core::values::matching::by;

use super::slack::ShownMessage;
use super::{NavigationSection, Notice, PageLayout, form_fields, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view(DEMO_SLACK, Role::Viewer, rendered(slack_page)),
        // The actor that does what was clicked stores it in the audit log, as for a click in Slack.
        Route::post(DEMO_SLACK, Role::Operator, click_button),
    ]
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
        messages: ShownMessage::of_channel(slack.messages(), may_change(context, request)),
    })
}

/// Hands a click on as Slack would post it.
async fn click_button(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let slack = context.demo_slack()?;
    let form = form_fields(&request, payload).await?;
    let [message, button] = ["ts", "do"].map(|name| form.first_value(name).unwrap_or_default());
    let clicked = slack.click(message, button, &by(None, &request)?, context.deps.kit.now());
    let clicked = clicked.ok_or_else(|| Problem::new(Code::NotFound, "the message has no such button any more"));
    let done = match clicked {
        Ok(interaction) => context.deps.buttons.call(interaction).await.map_err(Problem::from),
        Err(gone) => Err(gone),
    };
    let done = done.map(|()| Notice::good("Clicked. The channel shows what came of it."));
    Ok(Notice::after(&request, done).back_to(DEMO_SLACK))
}

//! What Slack posts: a click on a button under a message. Slack has no token: it signs what it posts, and the
//! actor that does what was clicked checks that.

use flowlord_messages::outbox::SlackInteraction;
use flowlord_web_core::extract::slack_body;
use flowlord_web_core::route::ANYONE;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        // Slack signs what it sends: it has no token.
        Route::post("/slack/interactive", ANYONE, interactive),
    ]
}

const TIMESTAMP: &str = "x-slack-request-timestamp";
const SIGNATURE: &str = "x-slack-signature";

/// An empty answer tells Slack that the click was heard and done; with any other it tells the person that it
/// wasn't.
async fn interactive(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let (timestamp, signature) = (header(&request, TIMESTAMP)?, header(&request, SIGNATURE)?);
    let body = slack_body(&request, payload).await?;
    // The signature is over the body as it came.
    let body = String::from_utf8(body.to_vec()).map_err(|_| Problem::invalid("the body is not UTF-8"))?;
    context.deps.buttons.call(SlackInteraction { timestamp, signature, body }).await?;
    Ok(HttpResponse::Ok().finish())
}

fn header(request: &HttpRequest, name: &str) -> Result<String, Problem> {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value
        .map(str::to_owned)
        .ok_or_else(|| Problem::new(Code::Unauthorized, format!("there is no header {name}: only Slack posts here")))
}

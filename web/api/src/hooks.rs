//! Addresses for senders that can set nothing but an address: what message buses and stores push.
//!
//! Such a sender sends again whatever isn't answered by 2xx. So what is refused for good is answered 200, with what was
//! rejected in the answer and in the log.

use flowlord_web_core::auth::caller_name;
use flowlord_web_core::extract::pushed_results_body;
use flowlord_web_core::openapi::any_of;
use flowlord_web_core::route::ServeRoute;
use flowlord_web_core::view::file::RecordedView;

use crate::files;
use crate::lease::EXAMPLE_LEASE;
use crate::prelude::*;
use crate::results::{ResultsAnswer, adopts, take};

pub(crate) fn routes() -> Vec<Route> {
    let recorded = json!({"event": 7, "path": "/srv/in/a.csv", "phases": [], "tasks": []});
    vec![
        push_route("/hooks/{token}/files", "Report a file by a push", files)
            .pushed_body("an event, as for `/api/v1/files`", json!({"path": "/srv/in/a.csv", "size": 5}))
            .answers_of(200, "recorded, or rejected", recorded_or_rejected, recorded),
        push_route("/hooks/{token}/results", "Post many results by a push", results)
            .query("adopt", "`false` rejects done tasks that nobody created here", json!({"type": "boolean"}))
            .pushed_body("results, as for `/api/v1/results`", json!([{"lease": EXAMPLE_LEASE, "result": "complete"}]))
            .answers::<ResultsAnswer>(
                200,
                "what became of each",
                json!({"accepted": 1, "duplicates": 0, "rejected": []}),
            ),
    ]
}

async fn files(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    match files::arrived(context, request.clone(), payload).await {
        Err(problem) => refused(&request, problem),
        taken => taken,
    }
}

async fn results(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    match pushed(&context, &request, payload).await {
        // The sender repeats the whole body; what was taken now counts as a duplicate then.
        Ok(answer) if answer.should_come_again() => {
            Err(Problem::new(Code::Busy, "some of the results can't be taken at the moment; send all again"))
        }
        Ok(answer) => {
            if answer.rejected() > 0 {
                let (token, rejected) = (caller_name(&request), answer.rejected());
                log::warn!("event=push_rejected token={token:?} rejected={rejected}");
            }
            json(StatusCode::OK, &answer)
        }
        Err(problem) => refused(&request, problem),
    }
}

async fn pushed(context: &ContextRef, request: &HttpRequest, payload: Payload) -> Result<ResultsAnswer, Problem> {
    let adopt = adopts(request.query_string())?;
    let (form, body) = pushed_results_body(request, payload).await?;
    take(context, form, &body, adopt).await
}

/// What is worth sending again is a problem; the rest is done with.
fn refused(request: &HttpRequest, problem: Problem) -> Answer {
    if problem.is_temporary() {
        return Err(problem);
    }
    // The log is where somebody sees it: the sender shows its answers to nobody.
    let (token, code) = (caller_name(request), problem.code().as_str());
    log::warn!("event=push_refused token={token:?} code={code} detail={:?}", problem.detail());
    let mut answer = ResultsAnswer::default();
    answer.reject(0, &problem);
    json(StatusCode::OK, &answer)
}

/// A token of the role push, as examples show it and a test knows it.
pub const EXAMPLE_PUSH_TOKEN: &str = "flw_5e3d";

fn recorded_or_rejected(all: &mut SchemaRegistry) -> Value {
    any_of([all.one::<RecordedView<'_>>(), all.list::<RecordedView<'_>>(), all.one::<ResultsAnswer>()])
}

fn push_route<A>(path: &'static str, summary: &'static str, handler: impl ServeRoute<A>) -> Route {
    Route::post(path, Role::Push, handler)
        .about("work", summary)
        .says(
            "For senders that can set nothing but an address. What is refused for good is answered 200 with \
             `rejected`, since such a sender sends again whatever isn't answered by 2xx.",
        )
        .path("token", "a token of the role push, which is good for nothing else", EXAMPLE_PUSH_TOKEN)
        .fails(&[Code::NotFound, Code::RequestTimeout])
}

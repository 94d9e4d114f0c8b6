//! Addresses for senders that can set nothing but an address: what message buses and stores push.
//!
//! Such a sender sends again whatever isn't answered by 2xx. So what is refused for good is answered 200, with what was
//! rejected in the answer and in the log.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use flowlord_messages::Code;

use crate::api::ApiRef;
use crate::auth::caller_name;
use crate::extract::pushed_results_body;
use crate::problem::{Answer, Problem};
use crate::routes::results::{ResultsAnswer, adopts, take};
use crate::routes::{files, json};

/// A file event.
pub(crate) async fn files(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    match files::arrived(api, request.clone(), payload).await {
        Err(problem) => refused(&request, problem),
        taken => taken,
    }
}

/// Results.
pub(crate) async fn results(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    match pushed(&api, &request, payload).await {
        Ok(answer) if answer.should_come_again() => {
            Err(Problem::new(Code::Busy, "some of the results can't be taken at the moment; send all again"))
        }
        Ok(answer) => {
            if answer.rejected() > 0 {
                log::warn!(
                    "event=push_rejected token={:?} rejected={}",
                    caller_name(&request),
                    answer.rejected()
                );
            }
            json(StatusCode::OK, &answer)
        }
        Err(problem) => refused(&request, problem),
    }
}

async fn pushed(api: &ApiRef, request: &HttpRequest, payload: Payload) -> Result<ResultsAnswer, Problem> {
    let adopt = adopts(request.query_string())?;
    let (form, body) = pushed_results_body(request, payload).await?;
    take(api, form, &body, adopt).await
}

/// What is worth sending again is a problem; the rest is done with.
fn refused(request: &HttpRequest, problem: Problem) -> Answer {
    if problem.is_temporary() {
        return Err(problem);
    }
    let (token, code) = (caller_name(request), problem.code().as_str());
    log::warn!("event=push_refused token={token:?} code={code} detail={:?}", problem.detail());
    let mut answer = ResultsAnswer::default();
    answer.reject(0, &problem);
    json(StatusCode::OK, &answer)
}

//! Results that wait for the next round, with the senders of their answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use actix::Actor;
use actix::dev::{MessageResponse, OneshotSender};
use flowlord_domain::decide::WorkerOutcome;
use flowlord_kernel::{AfterPanic, Result};
use flowlord_messages::results::{AppliedResult, ResultClaim, SubmitResults};

type ResultAnswers = Result<Vec<Result<AppliedResult>>>;
type SharedQueue = Rc<RefCell<VecDeque<SubmittedResults>>>;

#[derive(Debug)]
pub(crate) struct SubmittedResults {
    pub(crate) results: Vec<(ResultClaim, WorkerOutcome)>,
    answer_sender: Option<OneshotSender<ResultAnswers>>,
}

impl SubmittedResults {
    pub(crate) fn send_answers(self, answers: ResultAnswers) {
        if let Some(sender) = self.answer_sender {
            let _nobody_waits_any_more = sender.send(answers);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ResultInbox(SharedQueue);

impl ResultInbox {
    // actix hands the sender of the answers to the response, not to the handler: so the response fills the inbox.
    pub(crate) fn collect(&self, message: SubmitResults) -> CollectedResults {
        CollectedResults(Ok((Rc::clone(&self.0), message.results)))
    }

    /// Takes messages until they hold `count` results; the last message may have more.
    pub(crate) fn take_results(&self, count: usize) -> Vec<SubmittedResults> {
        let mut waiting = self.0.borrow_mut();
        let (mut taken, mut results) = (Vec::new(), 0);
        // Messages stay whole: each has one answer.
        while results < count
            && let Some(submitted) = waiting.pop_front()
        {
            results += submitted.results.len();
            taken.push(submitted);
        }
        taken
    }
}

#[derive(Debug)]
pub struct CollectedResults(Result<(SharedQueue, Vec<(ResultClaim, WorkerOutcome)>)>);

impl<A: Actor> MessageResponse<A, SubmitResults> for CollectedResults {
    fn handle(self, _ctx: &mut A::Context, answer_sender: Option<OneshotSender<ResultAnswers>>) {
        match self.0 {
            Ok((inbox, results)) => inbox.borrow_mut().push_back(SubmittedResults { results, answer_sender }),
            Err(err) => SubmittedResults { results: Vec::new(), answer_sender }.send_answers(Err(err)),
        }
    }
}

impl AfterPanic for CollectedResults {
    fn after_panic(actor: &str) -> Self {
        Self(AfterPanic::after_panic(actor))
    }
}

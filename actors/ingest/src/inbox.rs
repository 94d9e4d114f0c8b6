//! Results that wait for the next round, with the way back for their answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use actix::Context;
use actix::dev::{MessageResponse, OneshotSender};
use flowlord_domain::decide::Outcome;
use flowlord_kernel::Result;
use flowlord_messages::ingest::SubmitResults;
use flowlord_messages::write::{Applied, Claim};

use crate::Ingest;

type Answer = Result<Vec<Result<Applied>>>;

/// Results of one message.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) results: Vec<(Claim, Outcome)>,
    back: Option<OneshotSender<Answer>>,
}

impl Submitted {
    pub(crate) fn answer(self, answer: Answer) {
        if let Some(back) = self.back {
            let _nobody_waits_any_more = back.send(answer);
        }
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Rc<RefCell<VecDeque<Submitted>>>);

impl Inbox {
    /// The response to a message: puts it into the inbox together with its way back.
    pub(crate) fn collect(&self, message: SubmitResults) -> Collected {
        Collected { inbox: Rc::clone(&self.0), message }
    }

    /// Takes messages until they hold `size` results, at least one.
    pub(crate) fn take(&self, size: usize) -> Vec<Submitted> {
        let mut waiting = self.0.borrow_mut();
        let (mut taken, mut results) = (Vec::new(), 0);
        while results < size
            && let Some(submitted) = waiting.pop_front()
        {
            results += submitted.results.len();
            taken.push(submitted);
        }
        taken
    }
}

/// See [`Inbox::collect`].
#[derive(Debug)]
pub struct Collected {
    inbox: Rc<RefCell<VecDeque<Submitted>>>,
    message: SubmitResults,
}

impl MessageResponse<Ingest, SubmitResults> for Collected {
    fn handle(self, _ctx: &mut Context<Ingest>, back: Option<OneshotSender<Answer>>) {
        self.inbox.borrow_mut().push_back(Submitted { results: self.message.results, back });
    }
}

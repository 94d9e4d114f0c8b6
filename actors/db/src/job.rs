//! A command on its way: queued, applied, answered after the commit.

use std::cell::RefCell;
use std::rc::Rc;

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Context, Message};
use flowlord_kernel::{Error, Result};

use crate::owner::Owner;
use crate::store::{Store, Trouble};

/// A command that the owner can apply.
pub(crate) trait Command: Message<Result = Result<<Self as Command>::Answer>> + 'static {
    /// What it answers.
    type Answer: 'static;

    /// Applies it within the open transaction. `Err` undoes whatever it did so far.
    fn apply(&mut self, store: &mut Store<'_>) -> std::result::Result<Self::Answer, Trouble>;
}

/// A queued command without its type.
pub(crate) trait Job {
    /// Applies it and keeps the answer. `Err` says that the transaction can't go on.
    fn apply(&mut self, store: &mut Store<'_>) -> std::result::Result<(), Trouble>;

    /// Answers `error` instead of what was kept.
    fn fail(&mut self, error: Error);

    /// Sends the answer.
    fn answer(self: Box<Self>);
}

/// What waits for the next transaction.
pub(crate) type Queue = Rc<RefCell<Vec<Box<dyn Job>>>>;

/// The response of every write handler: puts the command into the queue together with the way back, so that no
/// future is spawned for it.
pub struct Queued<C> {
    pub(crate) queue: Queue,
    pub(crate) command: C,
}

struct Pending<C: Command> {
    command: C,
    answer: Option<Result<C::Answer>>,
    back: Option<OneshotSender<Result<C::Answer>>>,
}

/// A command of the owner's own: nobody waits for its answer.
pub(crate) fn own<C: Command>(command: C) -> Box<dyn Job> {
    Box::new(Pending { command, answer: None, back: None })
}

impl<C: Command> MessageResponse<Owner, C> for Queued<C> {
    fn handle(self, _ctx: &mut Context<Owner>, back: Option<OneshotSender<C::Result>>) {
        let pending = Pending { command: self.command, answer: None, back };
        self.queue.borrow_mut().push(Box::new(pending));
    }
}

impl<C: Command> Job for Pending<C> {
    fn apply(&mut self, store: &mut Store<'_>) -> std::result::Result<(), Trouble> {
        match self.command.apply(store) {
            Ok(answer) => {
                self.answer = Some(Ok(answer));
                Ok(())
            }
            Err(trouble) => {
                self.answer = Some(Err(trouble.to_error()));
                Err(trouble)
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.answer = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        if let (Some(back), Some(answer)) = (self.back, self.answer) {
            let _nobody_waits_any_more = back.send(answer);
        }
    }
}

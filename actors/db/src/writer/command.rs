//! A command on its way: queued, applied, answered after the commit.

use std::cell::RefCell;
use std::rc::Rc;

use actix::dev::OneshotSender;
use flowlord_kernel::{Error, Result};

use crate::answered::AnsweredMessage;
use crate::writer::context::{CommandResult, WriteContext};

/// A message that the owner applies within a transaction.
pub(crate) trait WriteCommand: AnsweredMessage + 'static {
    /// Applies it within the open transaction. `Err` undoes whatever it did so far. It may be applied twice, with the
    /// first time undone.
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer>;
}

pub(crate) trait QueuedCommand {
    /// Applies it and keeps the answer. `Err` says that the transaction can't go on.
    fn apply_to(&mut self, context: &mut WriteContext<'_>) -> CommandResult<()>;

    /// Answers `error` instead of what was kept.
    fn fail_with(&mut self, error: Error);

    fn send_answer(self: Box<Self>);
}

pub(crate) type CommandQueue = Rc<RefCell<Vec<Box<dyn QueuedCommand>>>>;

/// The response of every write handler: it puts the command into the queue together with the way back, so that no
/// future is spawned for it.
pub struct QueuedResponse<C> {
    pub(super) queue: CommandQueue,
    pub(super) command: C,
}

struct PendingCommand<C: WriteCommand> {
    command: C,
    answer: Option<Result<C::Answer>>,
    back: Option<OneshotSender<Result<C::Answer>>>,
}

/// A command of the owner's own: nobody waits for its answer.
pub(crate) fn own_command<C: WriteCommand>(command: C) -> Box<dyn QueuedCommand> {
    queued_command(command, None)
}

pub(super) fn queued_command<C: WriteCommand>(
    command: C,
    back: Option<OneshotSender<Result<C::Answer>>>,
) -> Box<dyn QueuedCommand> {
    Box::new(PendingCommand { command, answer: None, back })
}

impl<C: WriteCommand> QueuedCommand for PendingCommand<C> {
    fn apply_to(&mut self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        // Kept, not sent: nothing is answered before the commit.
        let applied = self.command.apply_to(context);
        let (answer, applied) = match applied {
            Ok(answer) => (Ok(answer), Ok(())),
            Err(error) => (Err(error.to_answer()), Err(error)),
        };
        self.answer = Some(answer);
        applied
    }

    fn fail_with(&mut self, error: Error) {
        self.answer = Some(Err(error));
    }

    fn send_answer(self: Box<Self>) {
        if let (Some(back), Some(answer)) = (self.back, self.answer) {
            let _nobody_waits_any_more = back.send(answer);
        }
    }
}

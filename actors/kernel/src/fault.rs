//! Named points at which a test makes the program fail. Only with the feature `faults`, which tests turn on and no
//! release has: without it a point is nothing, and the compiler leaves nothing of it.

use std::path::Path;

use crate::environment::ActorKit;

/// A point at which a test may make the program fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Before a transaction is opened.
    BeforeBegin,
    /// Before a command is applied within the transaction.
    BeforeCommand,
    /// When all is applied, before the commit.
    BeforeCommit,
    /// When the commit is on disk, before anybody is answered.
    AfterCommit,
    /// When the copy is written, before it is checked and has its name.
    DuringSnapshot,
    /// When a part of a snapshot is in the backup place.
    DuringUpload,
}

/// What a test makes happen at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultEffect {
    /// The disk can't be read or written (EIO).
    Broken,
    /// The disk is full (ENOSPC).
    Full,
    /// The file system is read-only (EROFS).
    ReadOnly,
    /// The process ends at once, as by SIGKILL.
    Abort,
    /// The code there panics.
    Panic,
}

/// Code of an actor that a test makes panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorCode {
    /// What handles a message.
    Handler,
    /// What goes on with an answer, or at a timer.
    Continuation,
    /// What begins work, at the first start and after a restart.
    Start,
}

/// Panics where that was planned for the actor.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) fn panic_if_planned(_kit: &ActorKit, _code: ActorCode) {}

/// What was planned at a point for the data in `folder`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
#[must_use]
pub fn at(_point: FaultPoint, _folder: &Path) -> Option<FaultEffect> {
    None
}

#[cfg(feature = "faults")]
pub use planned::{ENVIRONMENT, at, clear, plan};

#[cfg(feature = "faults")]
pub use panics::{is_panic_planned, plan_panic};

#[cfg(feature = "faults")]
pub(crate) use panics::panic_if_planned;

#[cfg(feature = "faults")]
mod panics {
    use super::{ActorCode, ActorKit};
    use crate::environment::ActorEnvironment;
    use crate::locked::Locked;

    /// Which process under test, which of its actors, what of it.
    type PlannedPanic = (usize, &'static str, ActorCode);

    static PLANNED: Locked<Vec<PlannedPanic>> = Locked::new(Vec::new());

    /// Makes an actor panic once, the next time that it runs such code.
    pub fn plan_panic(environment: &ActorEnvironment, actor: &'static str, code: ActorCode) {
        let plan = (environment.activity.identity(), actor, code);
        PLANNED.lock().push(plan);
    }

    /// Whether a planned panic is still to come.
    #[must_use]
    pub fn is_panic_planned(environment: &ActorEnvironment, actor: &'static str, code: ActorCode) -> bool {
        let plan = (environment.activity.identity(), actor, code);
        PLANNED.lock().contains(&plan)
    }

    pub(crate) fn panic_if_planned(kit: &ActorKit, code: ActorCode) {
        let plan = (kit.activity().identity(), kit.name(), code);
        let mut planned = PLANNED.lock();
        if let Some(at) = planned.iter().position(|one| *one == plan) {
            planned.remove(at);
            drop(planned);
            panic!("planned by a test");
        }
    }
}

#[cfg(feature = "faults")]
mod planned {
    use crate::locked::Locked;
    use std::path::PathBuf;

    use super::{FaultEffect, FaultPoint, Path};

    /// The variable that plans a fault for a process: `before_commit=abort@3`, at the third time.
    pub const ENVIRONMENT: &str = "PLANNED_FAULT_OF_A_TEST";

    /// What was planned, by whom.
    struct PlannedFault {
        /// Of all data when none.
        folder: Option<PathBuf>,
        point: FaultPoint,
        fault: FaultEffect,
        /// How often the point is passed before.
        skip: usize,
        /// How often it fails then.
        times: usize,
    }

    impl PlannedFault {
        fn is_due_at(&self, point: FaultPoint, folder: &Path) -> bool {
            self.point == point && self.times > 0 && self.folder.as_deref().is_none_or(|planned| planned == folder)
        }
    }

    static PLANS: Locked<Option<Vec<PlannedFault>>> = Locked::new(None);

    impl FaultPoint {
        const ALL: [(&str, Self); 6] = [
            ("before_begin", Self::BeforeBegin),
            ("before_command", Self::BeforeCommand),
            ("before_commit", Self::BeforeCommit),
            ("after_commit", Self::AfterCommit),
            ("during_snapshot", Self::DuringSnapshot),
            ("during_upload", Self::DuringUpload),
        ];
    }

    fn with_plans<T>(f: impl FnOnce(&mut Vec<PlannedFault>) -> T) -> T {
        let mut plans = PLANS.lock();
        f(plans.get_or_insert_with(|| {
            std::env::var(ENVIRONMENT).ok().and_then(|text| read_plan(&text)).into_iter().collect()
        }))
    }

    fn read_plan(text: &str) -> Option<PlannedFault> {
        let (point, rest) = text.split_once('=')?;
        let (fault, nth) = rest.split_once('@')?;
        let (_, point) = FaultPoint::ALL.into_iter().find(|(name, _)| *name == point)?;
        let fault = match fault {
            "broken" => FaultEffect::Broken,
            "full" => FaultEffect::Full,
            "read_only" => FaultEffect::ReadOnly,
            "abort" => FaultEffect::Abort,
            _ => return None,
        };
        let skip = nth.parse::<usize>().ok()?.checked_sub(1)?;
        Some(PlannedFault { folder: None, point, fault, skip, times: 1 })
    }

    /// Plans `fault` at `point` for the data in `folder`: so many `times` from now on.
    pub fn plan(folder: &Path, point: FaultPoint, fault: FaultEffect, times: usize) {
        let folder = Some(folder.to_owned());
        with_plans(|plans| plans.push(PlannedFault { folder, point, fault, skip: 0, times }));
    }

    /// Forgets what was planned for the data in `folder`.
    pub fn clear(folder: &Path) {
        with_plans(|plans| plans.retain(|plan| plan.folder.as_deref() != Some(folder)));
    }

    /// What was planned at a point for the data in `folder`; ends the process where that was planned.
    #[must_use]
    pub fn at(point: FaultPoint, folder: &Path) -> Option<FaultEffect> {
        let fault = with_plans(|plans| {
            let plan = plans.iter_mut().find(|plan| plan.is_due_at(point, folder))?;
            if plan.skip > 0 {
                plan.skip -= 1;
                return None;
            }
            plan.times -= 1;
            Some(plan.fault)
        });
        // As SIGKILL does: no destructor runs, and nothing is flushed.
        if fault == Some(FaultEffect::Abort) {
            std::process::abort();
        }
        fault
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_plan_counts_for_its_folder_and_its_times() {
            let (one, two) = (Path::new("/plan/one"), Path::new("/plan/two"));
            plan(one, FaultPoint::BeforeCommit, FaultEffect::Full, 2);
            assert_eq!(at(FaultPoint::BeforeCommit, two), None);
            assert_eq!(at(FaultPoint::BeforeBegin, one), None);
            assert_eq!(
                [(); 3].map(|()| at(FaultPoint::BeforeCommit, one)),
                [Some(FaultEffect::Full), Some(FaultEffect::Full), None]
            );
            plan(one, FaultPoint::BeforeCommit, FaultEffect::Broken, 9);
            clear(one);
            assert_eq!(at(FaultPoint::BeforeCommit, one), None);
        }

        #[test]
        fn a_plan_of_the_environment_names_point_fault_and_time() {
            let plan = read_plan("during_upload=broken@3").unwrap();
            assert_eq!(
                (plan.point, plan.fault, plan.skip, plan.times),
                (FaultPoint::DuringUpload, FaultEffect::Broken, 2, 1)
            );
            for wrong in ["", "before_commit", "before_commit=abort", "nowhere=abort@1", "before_commit=abort@0"] {
                assert!(read_plan(wrong).is_none(), "{wrong}");
            }
        }
    }
}

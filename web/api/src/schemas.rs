//! The types whose schemas the OpenAPI document has.

use flowlord_web_core::answer::LookedList;
use flowlord_web_core::doc::{NewTaskDoc, ResultDoc, ResultItemDoc};
use flowlord_web_core::openapi::SchemaRegistry;
use flowlord_web_core::problem::ProblemDocument;
use flowlord_web_core::view::alert::{AcknowledgedView, AlertView, IncidentView, SilenceView};
use flowlord_web_core::view::backload::{BackloadRequestDoc, BackloadView, DryRunView, ExecutedView};
use flowlord_web_core::view::file::{FileEventView, PlaceView, RecordedView};
use flowlord_web_core::view::stats::StatsView;
use flowlord_web_core::view::task::TaskView;
use flowlord_web_core::view::workflow::FileView;
use utoipa::PartialSchema as _;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};

use super::{alerts, audit, health, lease, phases, rerun, results, silences, snapshots, tokens, workflows};

/// Adds the types by which the document describes bodies and answers, with those that they refer to.
pub fn add_schemas(all: &mut SchemaRegistry) {
    all.add::<NewTaskDoc>().add::<ResultDoc>().add::<ResultItemDoc>().add::<TaskView<'_>>();
    all.add::<lease::LeaseBody<'_>>().add::<lease::LeaseAnswer<'_>>();
    all.add::<lease::HeartbeatBody>().add::<lease::HeartbeatAnswer>().add::<lease::ResultAnswer>();
    all.add::<lease::ReleaseBody>().add::<lease::ReleaseAnswer>().add::<results::ResultsAnswer>();
    all.add::<rerun::RerunBody>().add::<rerun::RerunFilter>().add::<rerun::CancelBody>().add::<rerun::RerunReport>();
    all.add::<alerts::AcknowledgeBody>().add::<AcknowledgedView<'_>>().add::<AlertView<'_>>().add::<IncidentView<'_>>();
    all.add::<silences::NewSilence>().add::<SilenceView<'_>>();
    all.add::<FileView<'_>>().add::<workflows::RefreshAnswer>();
    all.add::<phases::PhaseBody>().add::<phases::PhaseAnswer<'_>>();
    all.add::<RecordedView<'_>>().add::<FileEventView<'_>>().add::<PlaceView<'_>>();
    all.add::<BackloadRequestDoc>().add::<BackloadView<'_>>().add::<DryRunView<'_>>().add::<ExecutedView<'_>>();
    all.add::<snapshots::NewSnapshot>().add::<snapshots::SnapshotView>().add::<snapshots::SnapshotsView>();
    all.add::<tokens::NewToken>().add::<tokens::MadeToken<'_>>().add::<tokens::TokenView>();
    all.add::<StatsView<'_>>().add::<audit::ChangeView<'_>>();
    all.add::<health::AliveAnswer<'_>>().add::<health::ReadyAnswer>().add::<ProblemDocument<'_>>();
    all.name("TaskList", LookedList::<TaskView<'_>>::schema());
    all.name("ChangeList", LookedList::<audit::ChangeView<'_>>::schema());
    // Without `execute` a dry run, with it what was created.
    let executed = AnyOfBuilder::new().item(Ref::from_schema_name("BackloadDryRun"));
    all.name("Backloaded", Schema::from(executed.item(Ref::from_schema_name("BackloadExecuted"))));
}

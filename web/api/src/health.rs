//! Whether the service is alive, and whether it can do its work.

use flowlord_messages::changelog::{ReadShippingState, ShippingState};
use flowlord_messages::cluster::NodeRole;
use flowlord_messages::snapshots::{BackupState, ReadBackup};
use flowlord_web_core::route::{ANYONE, RouteClass};
use flowlord_web_core::use_cases::health::ping_actors;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let actors = json!({"db": {"status": "ok", "restarts": 0}});
    let ready_example = json!({"status": "ready", "actors": actors, "backup": null, "cluster": null});
    // Probes and load balancers have no token.
    vec![
        Route::get("/healthz", ANYONE, alive)
            .class(RouteClass::Watch)
            .about("service", "Liveness")
            .answers::<AliveAnswer<'_>>(200, "it does", json!({"status": "ok", "version": "1.0.0"})),
        Route::get("/readyz", ANYONE, ready)
            .class(RouteClass::Watch)
            .about("service", "Readiness")
            .answers::<ReadyAnswer>(200, "every actor answered, and the database can be written", ready_example)
            .fails(&[Code::NotReady, Code::Stopping]),
        Route::get("/status", ANYONE, status).class(RouteClass::Watch).about("kept", "Liveness").answers_text(
            200,
            "it does",
            &["text/plain"],
            "ok",
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = Alive)]
pub(crate) struct AliveAnswer<'a> {
    status: &'static str,
    version: &'a str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Ready)]
pub(crate) struct ReadyAnswer {
    status: &'static str,
    /// By name: how each is, and how often it was restarted.
    #[schema(value_type = Object)]
    actors: Value,
    /// Null where there is no backup place.
    #[schema(required)]
    backup: Option<BackupDetail>,
    /// Null where there is no cluster.
    #[schema(required)]
    cluster: Option<ClusterHealth>,
}

#[derive(Serialize, ToSchema)]
struct ClusterHealth {
    #[schema(schema_with = limits::named::<NodeRole>)]
    role: &'static str,
    /// By how much this node's database is behind; null while that isn't known.
    #[schema(required)]
    lag_seconds: Option<f64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Backup)]
struct BackupDetail {
    place: String,
    /// The newest one that was verified.
    #[schema(required)]
    snapshot: Option<String>,
    /// How old that one is.
    #[schema(required)]
    age_seconds: Option<i64>,
    #[schema(required)]
    next: Option<DateTime<Utc>>,
    #[schema(required)]
    problem: Option<String>,
    /// The change log; null where it isn't shipped.
    #[schema(required)]
    changes: Option<ShippedChanges>,
}

#[derive(Serialize, ToSchema)]
struct ShippedChanges {
    #[schema(required)]
    until: Option<DateTime<Utc>>,
    #[schema(required)]
    lag_seconds: Option<i64>,
    pending: u64,
    snapshot_to_go_on_from: bool,
    #[schema(required)]
    problem: Option<String>,
}

async fn alive(context: ContextRef) -> Answer {
    json(StatusCode::OK, &AliveAnswer { status: "ok", version: &context.config.version })
}

async fn status() -> HttpResponse {
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    HttpResponse::Ok().insert_header((CONTENT_TYPE, text)).body("ok")
}

async fn ready(context: ContextRef) -> Answer {
    let ((troubles, actors), backup, shipping) = tokio::join!(
        ping_actors(&context),
        context.deps.backup.call(ReadBackup),
        context.deps.shipper.call(ReadShippingState)
    );
    // A backup that fails is shown and raises alerts, but makes nobody unready: restarting the service mends no store.
    let shipping = shipping.unwrap_or_default();
    let backup = backup.ok().and_then(|backup| backup_detail(backup, shipping, context.deps.kit.now()));
    // First, since actors that have ended don't answer, which isn't what is wrong.
    if context.is_stopping() {
        return Err(Problem::new(Code::Stopping, "the service is stopping").with("actors", actors));
    }
    if !troubles.is_empty() {
        let each: Vec<_> = troubles.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let problem = Problem::new(Code::NotReady, each.join("; "));
        return Err(problem.with("actors", actors));
    }
    json(StatusCode::OK, &ReadyAnswer { status: "ready", actors, backup, cluster: cluster_role(&context) })
}

fn cluster_role(context: &WebContext) -> Option<ClusterHealth> {
    let state = context.cluster.of_cluster()?;
    Some(ClusterHealth { role: state.role.as_str(), lag_seconds: state.lag_seconds(context.deps.kit.now()) })
}

/// None where there is no backup place.
fn backup_detail(backup: BackupState, shipping: ShippingState, now: DateTime<Utc>) -> Option<BackupDetail> {
    let place = backup.place?;
    let ShippingState { on, based, until, pending, problem } = shipping;
    let changes = ShippedChanges {
        until,
        lag_seconds: until.map(|until| (now - until).num_seconds()),
        pending,
        snapshot_to_go_on_from: based,
        problem,
    };
    Some(BackupDetail {
        place,
        age_seconds: backup.verified.as_ref().map(|newest| (now - newest.at).num_seconds()),
        snapshot: backup.verified.map(|newest| newest.location),
        next: backup.next,
        problem: backup.problem,
        changes: on.then_some(changes),
    })
}

//! How each route stands, and what became of its notifications.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::{
    CountNotifications, DEFAULT_ROUTE, EscalationStatus, MAX_COUNTED_STEPS, NotificationCounts,
};
use flowlord_web_core::context::WebContext;
use flowlord_web_core::problem::Problem;

use crate::layout::PageLayout;
use crate::parts::{LongText, grouped};
use crate::when::{ShownTime, long};

pub(super) struct AlertRoute {
    pub(super) name: String,
    pub(super) since: Option<ShownTime>,
    pub(super) lasts: String,
    pub(super) alerts: String,
    /// How many notifications of the open incident were sent; none where that can't be read, or nobody gets any.
    pub(super) sent: Option<String>,
    /// Why Slack didn't take the next one, and when it is tried again.
    pub(super) refused: Option<(String, ShownTime)>,
    pub(super) tasks: LongText,
    pub(super) next: ShownTime,
    pub(super) every: String,
    pub(super) acknowledged_by: Option<String>,
    /// Whether its notifications go anywhere.
    pub(super) is_configured: bool,
}

impl AlertRoute {
    /// All routes, with what became of the notifications of those whose incident is open.
    pub(super) async fn all(
        context: &WebContext,
        ladders: Vec<EscalationStatus>,
        now: DateTime<Utc>,
        layout: &mut PageLayout,
    ) -> Result<Vec<Self>, Problem> {
        let incidents: Vec<_> =
            ladders.iter().filter_map(|ladder| Some((ladder.route.clone(), ladder.incident_since?))).collect();
        let counted = if incidents.is_empty() {
            Vec::new()
        } else {
            let answer = context.deps.view_reader.call(CountNotifications { incidents }).await;
            layout.read("the notifications sent", answer)?.unwrap_or_default()
        };
        // They come in the order of the question, which left out the routes without an open incident.
        let mut counted = counted.into_iter();
        let mut routes = Vec::with_capacity(ladders.len());
        for ladder in ladders {
            let notifications = ladder.incident_since.and_then(|_| counted.next());
            // A named route is refused at the start unless it leads somewhere.
            let is_configured = context.config.slack || ladder.route != DEFAULT_ROUTE;
            routes.push(Self::new(ladder, notifications, is_configured, now));
        }
        Ok(routes)
    }

    fn new(
        ladder: EscalationStatus,
        notifications: Option<NotificationCounts>,
        is_configured: bool,
        now: DateTime<Utc>,
    ) -> Self {
        let notifications = notifications.filter(|_| is_configured);
        Self {
            since: ladder.incident_since.map(ShownTime::date_and_time),
            lasts: ladder.incident_since.map(|since| long(now - since)).unwrap_or_default(),
            alerts: grouped(ladder.alerts),
            sent: notifications.as_ref().map(|of| sent_words(of, ladder.steps)),
            refused: notifications
                .as_ref()
                .and_then(|of| Some((of.error.clone()?, ShownTime::time_of_day(of.retry_at?)))),
            tasks: LongText::from(ladder.tasks.join(", ")),
            next: ShownTime::time_of_day(ladder.next),
            every: long(ladder.interval),
            acknowledged_by: ladder.acknowledged_by,
            is_configured,
            name: ladder.route,
        }
    }
}

/// `2 notifications sent, 1 waiting`.
fn sent_words(notifications: &NotificationCounts, steps: u32) -> String {
    let NotificationCounts { sent, waiting, .. } = notifications;
    let is_cut = usize::try_from(steps).is_ok_and(|steps| steps > MAX_COUNTED_STEPS);
    let at_least = if is_cut { "at least " } else { "" };
    let noun = if *sent == 1 { "notification" } else { "notifications" };
    let waiting = if *waiting > 0 { format!(", {} waiting", grouped(*waiting)) } else { String::new() };
    match sent {
        0 => format!("no notification sent{waiting}"),
        sent => format!("{at_least}{} {noun} sent{waiting}", grouped(*sent)),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use flowlord_domain::escalation::EscalationPolicy;
    use flowlord_testkit::sample::noon;

    use super::*;

    fn counts(sent: u64, waiting: u64) -> NotificationCounts {
        NotificationCounts { sent, waiting, error: None, retry_at: None }
    }

    #[test]
    fn notifications_are_counted_in_words() {
        for (sent, waiting, steps, words) in [
            (0, 0, 1, "no notification sent"),
            (0, 2, 1, "no notification sent, 2 waiting"),
            (1, 0, 1, "1 notification sent"),
            (1_200, 1, 1_000, "1,200 notifications sent, 1 waiting"),
            // Only so many steps are counted.
            (1_200, 0, 1_001, "at least 1,200 notifications sent"),
        ] {
            assert_eq!(sent_words(&counts(sent, waiting), steps), words);
        }
    }

    fn route(counts: NotificationCounts, is_configured: bool) -> AlertRoute {
        let ladder = EscalationStatus {
            route: "oncall".to_owned(),
            policy: EscalationPolicy::default(),
            interval: TimeDelta::minutes(30),
            next: noon(),
            incident_since: Some(noon() - TimeDelta::hours(2)),
            alerts: 1_500,
            steps: 3,
            tasks: vec!["load".to_owned(), "report:daily".to_owned()],
            acknowledged_by: None,
        };
        AlertRoute::new(ladder, Some(counts), is_configured, noon())
    }

    #[test]
    fn a_route_tells_its_incident_and_why_nothing_arrives() {
        let refused =
            NotificationCounts { error: Some("no such channel".to_owned()), retry_at: Some(noon()), ..counts(2, 1) };
        let shown = route(refused.clone(), true);
        assert_eq!(
            (shown.lasts.as_str(), shown.alerts.as_str(), shown.every.as_str()),
            ("2 h 0 min", "1,500", "30 min")
        );
        assert_eq!(shown.tasks.text, "load, report:daily");
        assert_eq!(shown.sent.as_deref(), Some("2 notifications sent, 1 waiting"));
        assert_eq!(
            shown.refused.map(|(why, at)| (why, at.text)),
            Some(("no such channel".to_owned(), "12:00:00".to_owned()))
        );
        let nowhere = route(refused, false);
        assert!(nowhere.sent.is_none() && nowhere.refused.is_none(), "nobody gets any");
    }
}

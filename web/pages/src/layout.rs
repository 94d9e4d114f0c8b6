//! What surrounds every page: navigation, the day's picker, what there is to tell, the footer.

use actix_web::http::Method;
use flowlord_kernel::Error;
use flowlord_messages::cluster::NodeRole;
use flowlord_messages::stats::ReadDayMarks;
use flowlord_web_core::auth::{COOKIE, role};
use flowlord_web_core::demo_slack::DEMO_SLACK;

use super::calendar::{DayPicker, ShownDay};
use super::link::PageLink;
use super::notice::Notice;
use super::when::{ShownTime, long};
use crate::assets;
use crate::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NavigationSection {
    Start,
    Tasks,
    Alerts,
    Files,
    Workflow,
    Backload,
    Workers,
    Slack,
    Audit,
    About,
    /// A page beside them.
    Other,
}

/// In their order, with what stands on the link and the key that leads there after `g`.
const NAVIGATION: [(NavigationSection, &str, &str, &str); 9] = [
    (NavigationSection::Tasks, "/web/task", "Tasks", "t"),
    (NavigationSection::Alerts, "/web/alert", "Alerts", "a"),
    (NavigationSection::Files, "/web/files", "Files", "f"),
    (NavigationSection::Workflow, "/web/workflow", "Workflow", "w"),
    (NavigationSection::Backload, "/web/backload", "Backload", "b"),
    (NavigationSection::Workers, "/web/workers", "Workers", "q"),
    (NavigationSection::Slack, DEMO_SLACK, "Slack", "s"),
    (NavigationSection::Audit, "/web/audit", "Audit", "u"),
    (NavigationSection::About, "/web/about", "About", "i"),
];

pub(crate) struct NavLink {
    pub(crate) label: &'static str,
    pub(crate) href: String,
    pub(crate) key: &'static str,
    pub(crate) current: bool,
}

/// Everything round a page's own content.
pub(crate) struct PageLayout {
    pub(crate) start: String,
    pub(crate) navigation: Vec<NavLink>,
    pub(crate) picker: Option<DayPicker>,
    pub(crate) notice: Option<Notice>,
    /// A line for each part of the page that could not be read.
    pub(crate) unread: Vec<String>,
    pub(crate) version: String,
    pub(crate) host: String,
    pub(crate) up: String,
    pub(crate) now: ShownTime,
    /// From which node, where that is a follower, and how far behind it is.
    pub(crate) read_from: Option<String>,
    /// Whether this browser logged in, and so can log out.
    pub(crate) logged_in: bool,
    /// Where the events come from, where anything on the page changes by itself.
    pub(crate) events: Option<String>,
}

impl PageLayout {
    /// Of a page in a section. The day of the address, if any, goes along to other pages.
    pub(crate) fn new(context: &WebContext, request: &HttpRequest, section: NavigationSection) -> Self {
        // Only a day that can be read: the page itself refuses others.
        let date = PageLink::of("", request.query_string()).first("date").parse::<NaiveDate>().ok();
        let role = role(context, request).unwrap_or(Role::Viewer);
        let now = context.deps.kit.now();
        Self {
            start: href_on_day("/", date),
            navigation: NAVIGATION
                .into_iter()
                .filter(|(_, path, ..)| is_offered(context, path, role))
                .map(|(of, path, label, key)| NavLink {
                    label,
                    key,
                    href: href_on_day(path, date),
                    current: of == section,
                })
                .collect(),
            picker: None,
            notice: Notice::of(request),
            unread: Vec::new(),
            version: context.config.version.clone(),
            host: context.config.host.clone(),
            up: long(now - context.config.started_at),
            now: ShownTime::date_and_time(now),
            read_from: follower_text(context, now),
            logged_in: request.cookie(COOKIE).is_some(),
            events: None,
        }
    }

    /// For those who aren't let in yet.
    pub(crate) fn bare(context: &WebContext, request: &HttpRequest) -> Self {
        // A session that ended still has its cookie: there is nothing to log out of.
        Self { navigation: Vec::new(), logged_in: false, ..Self::new(context, request, NavigationSection::Other) }
    }

    /// With a picker of the day that is shown.
    pub(crate) async fn with_picker(self, context: &WebContext, link: &PageLink, shown: ShownDay) -> Self {
        let (from, to) = shown.month();
        // Where the days can't be read, none is marked: the page is worth more than its marks.
        let marks = context.deps.view_reader.call(ReadDayMarks { from, to }).await.unwrap_or_else(|err| {
            log::warn!("event=days_not_read error={err}");
            Vec::new()
        });
        Self { picker: Some(DayPicker::new(link, shown, &marks)), ..self }
    }

    /// With parts that change by themselves.
    pub(crate) fn live(context: &WebContext, request: &HttpRequest, section: NavigationSection) -> Self {
        // Before the page reads its parts: a change in between is told twice rather than missed.
        let after = context.hub.here(context.deps.kit.now());
        let all = PageLink::to("/api/v1/events");
        let events = after.map_or_else(|| all.clone(), |after| all.with("after", &after));
        Self { events: Some(events.href()), ..Self::new(context, request, section) }
    }

    /// What could be read of a part of the page; else nothing, and a line that says so. A part that only the leader of
    /// the cluster has is no part to leave out: the leader answers the whole page.
    pub(crate) fn read<T>(&mut self, what: &str, answer: Result<T, Error>) -> Result<Option<T>, Problem> {
        match answer {
            Err(err) if err.code == Code::NotLeader => Err(err.into()),
            answer => Ok(self.read_here(what, answer)),
        }
    }

    /// The same of a page that is about this node, which leaves out what only the leader has.
    pub(crate) fn read_here<T>(&mut self, what: &str, answer: Result<T, Error>) -> Option<T> {
        let unread = |err: Error| {
            if err.code != Code::NotLeader {
                self.unread.push(format!("{what} can't be shown now: {}", err.detail));
            }
        };
        answer.map_err(unread).ok()
    }

    pub(crate) fn asset(&self, name: &str) -> String {
        assets::url(name)
    }

    pub(crate) fn scripts(&self) -> impl Iterator<Item = String> {
        assets::scripts()
    }
}

fn follower_text(context: &WebContext, now: DateTime<Utc>) -> Option<String> {
    let state = context.cluster.of_cluster().filter(|state| state.role == NodeRole::Follower)?;
    let node = state.node.as_ref().map_or("", |node| &node.node);
    let lag = state.lag_seconds(now).map(|lag| format!(", {lag:.1} s behind"));
    Some(format!("read from follower {node}{}", lag.unwrap_or_default()))
}

fn href_on_day(path: &'static str, date: Option<NaiveDate>) -> String {
    let link = PageLink::to(path);
    date.map_or_else(|| link.href(), |date| link.with("date", &date).href())
}

/// Whether the navigation leads to a page: it leaves out what only administrators may see, or only the demo has.
fn is_offered(context: &WebContext, path: &str, role: Role) -> bool {
    if path == DEMO_SLACK && context.config.demo_slack.is_none() {
        return false;
    }
    let needed = context.routes.find(&Method::GET, path).role;
    needed != Role::Admin.into() || needed.lets_in(role)
}

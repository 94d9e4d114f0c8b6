//! The chart of a day: a link for each hour, with bars of the whole hour or of its steps of five minutes.

use askama::Template;
use chrono::{DateTime, Timelike as _, Utc};
use flowlord_messages::stats::{DayTotals, ReadDaySteps, ResultCounts, StepTotals};
use flowlord_web_core::context::WebContext;

use super::ShownDay;
use super::link::PageLink;
use super::parts::{STANDINGS, counts_by_standing, grouped};

const BAR_HEIGHT: f64 = 60.0;

/// Steps of a day, each one wide in the drawing, and of an hour.
const STEPS: u16 = 1_440 / ReadDaySteps::MINUTES;
const STEPS_OF_HOUR: u16 = STEPS / 24;

/// Between the bars of two hours, and of two steps.
const HOUR_GAP: f64 = 1.0;
const STEP_GAP: f64 = 0.2;

#[derive(Default, Template)]
#[template(path = "parts/chart.html")]
pub(crate) struct DayChart {
    pub(crate) hours: Vec<ChartHour>,
    /// Where it is now, on the chart of today.
    pub(crate) now: Option<String>,
}

pub(crate) struct ChartHour {
    pub(crate) x: u16,
    pub(crate) title: String,
    pub(crate) href: String,
    pub(crate) chosen: bool,
    pub(crate) segments: Vec<BarSegment>,
}

/// A part of a bar: the tasks of one result.
pub(crate) struct BarSegment {
    pub(crate) class: &'static str,
    pub(crate) x: u16,
    pub(crate) width: f64,
    pub(crate) y: String,
    pub(crate) height: String,
}

impl DayChart {
    /// Each hour leads to the page of `link` with only its tasks. Where there are steps the bars are theirs.
    pub(crate) fn of_day(stats: &DayTotals, steps: Option<&[StepTotals]>, link: &PageLink) -> Self {
        let mut hours = [ResultCounts::default(); 24];
        for row in &stats.rows {
            add_to(&mut hours, usize::from(row.hour), &row.counts);
        }
        let mut bars = [ResultCounts::default(); STEPS as usize];
        for row in steps.unwrap_or_default() {
            add_to(&mut bars, usize::from(row.step), &row.counts);
        }
        let (bars, width): (&[_], _) = if steps.is_some() { (&bars, 1) } else { (&hours, STEPS_OF_HOUR) };
        // At least one: an empty day must not divide by zero.
        let highest = bars.iter().map(|bar| bar.total).max().unwrap_or(0).max(1);
        let link = link.without(&["cursor"]);
        let bars_of_hour = bars.chunks(usize::from(STEPS_OF_HOUR / width));
        let hours = (0..).zip(hours.iter().zip(bars_of_hour));
        Self {
            hours: hours.map(|(hour, (counts, bars))| ChartHour::new(hour, counts, bars, highest, &link)).collect(),
            now: None,
        }
    }

    /// With a line at the present, on the day that is today.
    pub(crate) fn with_now(self, shown: ShownDay, now: DateTime<Utc>) -> Self {
        let minutes = f64::from(now.num_seconds_from_midnight()) / 60.0;
        let x = shown.is_today().then(|| format!("{:.1}", minutes / f64::from(ReadDaySteps::MINUTES)));
        Self { now: x, ..self }
    }

    /// The tick of each hour, below the bars.
    pub(crate) fn ticks(&self) -> String {
        (0..=24)
            .map(|hour| format!("M{} {BAR_HEIGHT}v{}", hour * STEPS_OF_HOUR, if hour % 3 == 0 { 4 } else { 2 }))
            .collect()
    }
}

/// The steps of today. Of another day the hours tell enough, as they do where the steps can't be read.
pub(crate) async fn read_steps(context: &WebContext, shown: ShownDay) -> Option<Vec<StepTotals>> {
    if !shown.is_today() {
        return None;
    }
    context.deps.view_reader.call(ReadDaySteps { day: shown.date }).await.ok().flatten()
}

fn add_to(bars: &mut [ResultCounts], place: usize, counts: &ResultCounts) {
    if let Some(bar) = bars.get_mut(place) {
        *bar = bar.add_counts(counts);
    }
}

impl ChartHour {
    fn new(hour: u16, counts: &ResultCounts, bars: &[ResultCounts], highest: u64, link: &PageLink) -> Self {
        let chosen = link.first("hour") == hour.to_string();
        // The chosen hour leads back to all.
        let href = if chosen { link.without(&["hour"]) } else { link.with("hour", &hour) }.href();
        let x = hour * STEPS_OF_HOUR;
        let (wide, gap) = if bars.len() > 1 { (1, STEP_GAP) } else { (STEPS_OF_HOUR, HOUR_GAP) };
        let places = (0..).map(|place| x + place * wide);
        let segments = places.zip(bars).flat_map(|(x, bar)| bar_segments(x, f64::from(wide) - gap, bar, highest));
        Self { x, title: hour_title(hour, counts), href, chosen, segments: segments.collect() }
    }
}

/// `03:00 UTC, 2,000 tasks, 1,500 complete, 500 error`.
fn hour_title(hour: u16, counts: &ResultCounts) -> String {
    let mut title = format!("{hour:02}:00 UTC, {} tasks", grouped(counts.total));
    for (class, count) in STANDINGS.into_iter().zip(counts_by_standing(counts)).filter(|(_, count)| *count > 0) {
        title.push_str(&format!(", {} {class}", grouped(count)));
    }
    title
}

/// What ended well stands at the bottom, what failed on top of it.
fn bar_segments(x: u16, width: f64, counts: &ResultCounts, highest: u64) -> Vec<BarSegment> {
    // Height grows downwards in a drawing.
    let mut y = BAR_HEIGHT;
    let counted = STANDINGS.into_iter().zip(counts_by_standing(counts)).filter(|(_, count)| *count > 0);
    let segments = counted.map(|(class, count)| {
        #[expect(clippy::cast_precision_loss, reason = "a height on the screen")]
        let height = count as f64 / highest as f64 * BAR_HEIGHT;
        y -= height;
        BarSegment { class, x, width, y: format!("{y:.1}"), height: format!("{height:.1}") }
    });
    segments.collect()
}

#[cfg(test)]
mod tests {
    use flowlord_messages::stats::HourTotals;

    use super::*;

    fn counts(complete: u64, error: u64) -> ResultCounts {
        ResultCounts { total: complete + error + 1, complete, error, ..ResultCounts::default() }
    }

    fn stats() -> DayTotals {
        let row = |hour, counts| HourTotals { hour, topic: "load".into(), job: String::new(), counts, run_millis: 0 };
        DayTotals { rows: vec![row(3, counts(1_500, 0)), row(3, counts(0, 498)), row(23, counts(999, 0))] }
    }

    fn heights(hour: &ChartHour) -> Vec<(&str, u16, &str)> {
        hour.segments.iter().map(|part| (part.class, part.x, part.height.as_str())).collect()
    }

    #[test]
    fn the_chart_stacks_each_hour_and_leads_to_it() {
        let link = PageLink::of("/web/task", "type=load&hour=23&cursor=c");
        let chart = DayChart::of_day(&stats(), None, &link);
        assert_eq!(chart.hours.len(), 24);
        let hour = &chart.hours[3];
        assert_eq!(hour.title, "03:00 UTC, 2,000 tasks, 1,500 complete, 2 running, 498 error");
        assert_eq!(hour.href, "/web/task?type=load&hour=3");
        assert_eq!(heights(hour), [("complete", 36, "45.0"), ("running", 36, "0.1"), ("error", 36, "14.9")]);
        assert!(chart.hours[23].chosen && chart.hours[23].href == "/web/task?type=load");
        assert!(chart.hours[0].segments.is_empty());
    }

    #[test]
    fn steps_are_bars_of_their_hour() {
        let step = |step, counts| StepTotals { step, topic: "load".into(), job: String::new(), counts };
        let steps = [step(36, counts(9, 0)), step(47, counts(0, 4)), step(276, counts(4, 0))];
        let chart = DayChart::of_day(&stats(), Some(&steps), &PageLink::to("/web/task"));
        let expected =
            [("complete", 36, "54.0"), ("running", 36, "6.0"), ("running", 47, "6.0"), ("error", 47, "24.0")];
        assert_eq!(heights(&chart.hours[3]), expected);
        assert_eq!(chart.hours[3].title, "03:00 UTC, 2,000 tasks, 1,500 complete, 2 running, 498 error");
        assert_eq!(heights(&chart.hours[23])[0], ("complete", 276, "24.0"));
        assert_eq!(chart.hours.iter().map(|hour| hour.segments.len()).sum::<usize>(), 6);
    }

    #[test]
    fn today_has_a_line_at_the_present() {
        let now = "2026-03-02T12:30:00Z".parse().unwrap();
        let on =
            |date: &str| ShownDay { date: date.parse().unwrap(), today: "2026-03-02".parse().unwrap(), leaf: None };
        let line = |date| DayChart::default().with_now(on(date), now).now;
        assert_eq!((line("2026-03-02").as_deref(), line("2026-03-01")), (Some("150.0"), None));
    }
}

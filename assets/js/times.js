// Times in the viewer's zone, or in UTC as the server writes them; how long ago on hover.
const FORMS = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit" },
  minute: { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" },
  full: { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" },
};
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const KEY = "flowlord.zone";
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

const isUtc = () => !["UTC", "Etc/UTC"].includes(zone) && read() === "utc";

function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/// Writes the times within an element as the viewer wants them.
export function times(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) write(element);
  if (root === document) footer();
}

/// The other way of writing them.
export function turn() {
  try {
    localStorage.setItem(KEY, isUtc() ? "local" : "utc");
  } catch {
    return;
  }
  times();
}

function write(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const shown = format(at, element.dataset.form, isUtc() ? "UTC" : zone);
  if (element.textContent !== shown) element.textContent = shown;
  element.title = `${format(at, "full", "UTC")} UTC, ${ago(at)}`;
}

// As 2026-03-02 12:00:05 everywhere, whatever the language of the browser.
function format(at, form, timeZone) {
  const parts = new Intl.DateTimeFormat("en-GB", { ...(FORMS[form] ?? FORMS.full), hourCycle: "h23", timeZone });
  const of = Object.fromEntries(parts.formatToParts(at).map(({ type, value }) => [type, value]));
  const day = of.year ? `${of.year}-${of.month}-${of.day} ` : "";
  return `${day}${of.hour}:${of.minute}${of.second ? `:${of.second}` : ""}`;
}

function ago(at) {
  const seconds = (at - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / size), unit);
}

function footer() {
  const element = document.querySelector(".zone");
  if (!element || ["UTC", "Etc/UTC"].includes(zone)) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = isUtc() ? `times in UTC, show ${zone}` : `times in ${zone}, days in UTC; show UTC`;
  button.addEventListener("click", turn);
  element.replaceChildren(button);
  element.hidden = false;
}

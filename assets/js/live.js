// Parts marked `data-live` change when the service says that something did: `data-live="task alert"` names the events
// that it shows. Nothing polls; a lost connection is taken up again where it was.
import { swap } from "./swap.js";

/// What else is an event of these kinds: many at once, or of the same list.
const ALSO = { task: ["tasks"], alert: ["incident"] };
/// Events within this many milliseconds are shown together.
const GATHER = 300;
/// Between two fetches lies at least this much, and more where the service takes long.
const REST = 1500;
const SHARE = 4;
const RETRY = 5000;

const due = new Set();
let source = null;
let timer = null;
let next = 0;
let away = false;
let opened = false;

export function live() {
  const url = document.body.dataset.events;
  if (!url || !window.EventSource || parts().length === 0) return;
  if (!document.hidden) listen(url);
  else away = true;
  // A page that nobody looks at holds no connection: a browser has few of them. What it missed is read on return.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
      away = true;
    } else if (away) {
      away = false;
      opened = true;
      wantAll();
      listen(url);
    }
  });
}

const parts = () => [...document.querySelectorAll("[data-live][id]")];
const kinds = (part) => part.dataset.live.split(" ").flatMap((kind) => [kind, ...(ALSO[kind] ?? [])]);

function listen(url) {
  const wanted = new Set(parts().flatMap(kinds));
  const address = new URL(url, location.href);
  address.searchParams.set("kind", [...wanted].join(","));
  source = new EventSource(address);
  source.addEventListener("open", () => {
    tell("on", "live");
    // The page doesn't know up to which event it goes: what came since it was written may be missing.
    if (!address.searchParams.has("after") && !opened) wantAll();
    opened = true;
  });
  source.addEventListener("error", ({ target }) => {
    tell("off", "reconnecting");
    // Refused rather than lost: the browser gives up, we don't.
    if (target.readyState === EventSource.CLOSED && target === source) setTimeout(() => retry(target, url), RETRY);
  });
  // Something was missed.
  source.addEventListener("reset", wantAll);
  for (const kind of wanted) {
    source.addEventListener(kind, () => {
      for (const part of parts()) if (kinds(part).includes(kind)) want(part.id);
    });
  }
}

function retry(old, url) {
  if (old !== source || document.hidden) return;
  wantAll();
  listen(url);
}

function wantAll() {
  for (const part of parts()) want(part.id);
}

function want(id) {
  due.add(id);
  if (!document.hidden) plan();
}

function plan() {
  timer ??= setTimeout(fetchDue, Math.max(GATHER, next - Date.now()));
}

async function fetchDue() {
  const ids = [...due];
  due.clear();
  const begun = Date.now();
  try {
    if (!(await swap(location.href, ids))) ids.forEach((id) => due.add(id));
  } catch {
    ids.forEach((id) => due.add(id));
  }
  next = Date.now() + Math.max(REST, SHARE * (Date.now() - begun));
  timer = null;
  if (due.size > 0 && !document.hidden) setTimeout(plan, RETRY);
}

function tell(state, text) {
  for (const element of document.querySelectorAll(".connection")) {
    element.hidden = false;
    element.className = `connection ${state}`;
    if (element.textContent !== text) element.textContent = text;
  }
}

// Parts marked `data-live` change when the service says that something did: `data-live="task alert"` names the events
// that it shows. Nothing polls; a lost connection is taken up again where it was.
import { connect } from "./stream.js";
import { swap } from "./swap.js";

/// What else is an event of these kinds: many at once, or of the same list.
const ALSO = { task: ["tasks"], alert: ["incident"] };
/// Events within this many milliseconds are shown together.
const GATHER = 300;
/// Between two fetches lies at least this much, and more where the service takes long.
const REST = 1500;
const SHARE = 4;
/// After a fetch that failed.
const RETRY = 5000;

const due = new Set();
let timer = null;
let next = 0;

export function live() {
  const url = document.body.dataset.events;
  if (!url || !window.EventSource || parts().length === 0) return;
  const address = new URL(url, location.href);
  let after = address.searchParams.get("after");
  address.searchParams.delete("after");
  const takePart = connect(hear);
  const join = () => {
    takePart({ url: address.href, kinds: [...new Set(parts().flatMap(kinds))], after });
    // When it comes back it doesn't know up to which event it goes.
    after = null;
  };
  const comeBack = () => {
    wantAll();
    join();
  };
  if (!document.hidden) join();
  // A hidden page takes no part. What it missed is read on return.
  document.addEventListener("visibilitychange", () => (document.hidden ? takePart() : comeBack()));
  addEventListener("pagehide", () => takePart());
  addEventListener("pageshow", ({ persisted }) => persisted && !document.hidden && comeBack());
}

const parts = () => [...document.querySelectorAll("[data-live][id]")];
const kinds = (part) => part.dataset.live.split(" ").flatMap((kind) => [kind, ...(ALSO[kind] ?? [])]);

function hear({ state, kind }) {
  if (state) tell(state, state === "on" ? "live" : "reconnecting");
  // Something was missed.
  if (kind === "reset") wantAll();
  for (const part of parts()) if (kinds(part).includes(kind)) want(part.id);
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

// The log of a task that runs goes on by itself: `[data-follow]` is where what follows comes from, as markup of the service.
// When the part of the page is made anew, its address says where to go on.

/// More than this is in the file that the page links.
const MOST_CHARACTERS = 400_000;
/// The end counts as seen within so many pixels.
const NEAR = 40;

let source = null;
const seen = new WeakSet();

export function logs() {
  if (!window.EventSource) return;
  follow();
  document.addEventListener("swapped", follow);
  // A hidden page takes no place; it is made anew on return.
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  addEventListener("pagehide", stop);
}

function stop() {
  source?.close();
  source = null;
}

function follow() {
  stop();
  const log = document.querySelector("[data-follow]");
  const all = document.querySelector("pre.log");
  if (all && !seen.has(all)) {
    // People look for how it ended.
    seen.add(all);
    all.scrollTop = all.scrollHeight;
  }
  if (!log || document.hidden) return;
  source = new EventSource(log.dataset.follow);
  source.addEventListener("message", ({ data }) => add(log, data));
  source.addEventListener("end", stop);
}

function add(log, markup) {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  log.insertAdjacentHTML("beforeend", markup);
  while (log.textContent.length > MOST_CHARACTERS && log.firstChild !== log.lastChild) log.firstChild.remove();
  const nothing = log.nextElementSibling;
  if (nothing?.classList.contains("empty")) nothing.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}
